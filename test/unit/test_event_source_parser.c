/* SPDX-License-Identifier: MIT */
#include "../support/event_source_parser.h"
#include "../support/vectors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Streams up to this length are also split in three in every way. */
#define THREE_WAY_LENGTH_MAX 64

/* Each chunk is in its own block, which is freed after the call, so that sanitizers notice reads past it and
 * pointers to it. */
static void feed_chunk(struct event_source_recorder *recorder, const char *bytes, size_t length)
{
    char *chunk = malloc(length + (length == 0));

    assert_non_null(chunk);
    memcpy(chunk, bytes, length);
    event_source_recorder_feed(recorder, chunk, length);
    free(chunk);
}

/* A row, and the result of its wire in one piece. */
struct subject {
    const struct vector *row;
    struct event_source_recorder *whole;
    struct event_source_recorder *recorder; /* for the other ways, one after another */
};

static void fail_difference(const struct vector *row, const char *actual, const char *how)
{
    const char *expected = row->dispatch;
    size_t same = 0;

    while (expected[same] && actual[same] == expected[same]) {
        same++;
    }
    size_t start = same < 20 ? 0 : same - 20;
    fail_msg("line %zu, %s, fed %s: from character %zu on expected `%.80s`, got `%.80s`", row->line,
             row->name, how, start, expected + start, actual + start);
}

static void check_feeding(const struct subject *subject, const size_t *cuts, size_t cut_count)
{
    const struct vector *row = subject->row;
    struct event_source_recorder *recorder = subject->recorder;
    size_t start = 0;
    char how[80];

    event_source_recorder_reset(recorder);
    for (size_t cut = 0; cut < cut_count; cut++) {
        feed_chunk(recorder, row->wire.bytes + start, cuts[cut] - start);
        start = cuts[cut];
    }
    feed_chunk(recorder, row->wire.bytes + start, row->wire.length - start);
    if (!event_source_recorder_equal(recorder, subject->whole)) {
        snprintf(how, sizeof how, "with %zu cuts, the first at %zu, the last at %zu", cut_count, cuts[0],
                 cuts[cut_count - 1]);
        fail_difference(row, event_source_recorder_text(recorder), how);
    }
}

static void check_single_bytes(const struct subject *subject)
{
    size_t count = subject->row->wire.length;
    size_t *cuts = calloc(count + 1, sizeof *cuts);

    assert_non_null(cuts);
    for (size_t cut = 0; cut <= count; cut++) {
        cuts[cut] = cut;
    }
    check_feeding(subject, cuts, count + 1);
    free(cuts);
}

static void check_splits_in_two(const struct subject *subject)
{
    for (size_t cut = 0; cut <= subject->row->wire.length; cut++) {
        check_feeding(subject, &cut, 1);
    }
}

static void check_splits_in_three(const struct subject *subject)
{
    size_t length = subject->row->wire.length;
    size_t cuts[2];

    for (cuts[0] = 0; cuts[0] <= length; cuts[0]++) {
        for (cuts[1] = cuts[0]; cuts[1] <= length; cuts[1]++) {
            check_feeding(subject, cuts, 2);
        }
    }
}

static void test_row(void **state)
{
    const struct vector *row = *state;
    struct subject subject = {row, event_source_recorder_new(), event_source_recorder_new()};

    if (row->kind == VECTOR_UNREADABLE) {
        fail_msg("line %zu, %s: %s", row->line, row->name, row->problem);
    }
    feed_chunk(subject.whole, row->wire.bytes, row->wire.length);
    if (strcmp(event_source_recorder_text(subject.whole), row->dispatch) != 0) {
        fail_difference(row, event_source_recorder_text(subject.whole), "whole");
    }
    if (row->boundary_count > 0) {
        check_feeding(&subject, row->boundaries, row->boundary_count);
    }
    check_single_bytes(&subject);
    check_splits_in_two(&subject);
    if (row->wire.length <= THREE_WAY_LENGTH_MAX) {
        check_splits_in_three(&subject);
    }
    event_source_recorder_free(subject.whole);
    event_source_recorder_free(subject.recorder);
}

/* Parses a stream without NUL in every way of splitting it. */
static void check_stream(const char *stream, char *dispatch)
{
    struct vector row = {
        .kind = VECTOR_STREAM,
        .name = "direct test",
        .wire = {.bytes = stream, .length = strlen(stream), .present = true},
        .dispatch = dispatch,
    };
    void *state = &row;

    test_row(&state);
}

#define REPLACED "\\357\\277\\275"

static void test_broken_utf8_is_replaced_by_maximal_subparts(void **state)
{
    static const struct {
        const char *stream;
        char *dispatch;
    } cases[] = {
        {"data:\200\n\n", "{type=\"message\",data=\"" REPLACED "\",id=\"\"} last=\"\""},
        {"data:\300\200\n\n", "{type=\"message\",data=\"" REPLACED REPLACED "\",id=\"\"} last=\"\""},
        {"data:\342\202A\n\n", "{type=\"message\",data=\"" REPLACED "A\",id=\"\"} last=\"\""},
        {"data:\340\237\277\n\n",
         "{type=\"message\",data=\"" REPLACED REPLACED REPLACED "\",id=\"\"} last=\"\""},
        {"data:\340\240\200\355\237\277\n\n",
         "{type=\"message\",data=\"\\340\\240\\200\\355\\237\\277\",id=\"\"} last=\"\""},
        {"data:\355\240\200\n\n",
         "{type=\"message\",data=\"" REPLACED REPLACED REPLACED "\",id=\"\"} last=\"\""},
        {"data:\360\220\200\360\220\200\200\n\n",
         "{type=\"message\",data=\"" REPLACED "\\360\\220\\200\\200\",id=\"\"} last=\"\""},
        {"data:\360\217\277A\n\n",
         "{type=\"message\",data=\"" REPLACED REPLACED REPLACED "A\",id=\"\"} last=\"\""},
        {"data:\364\217\277\277\364\220\200\200\n\n",
         "{type=\"message\",data=\"\\364\\217\\277\\277" REPLACED REPLACED REPLACED REPLACED
         "\",id=\"\"} last=\"\""},
        {"data:\365\200\200\200\n\n",
         "{type=\"message\",data=\"" REPLACED REPLACED REPLACED REPLACED "\",id=\"\"} last=\"\""},
        {"data:\360\237\230\rdata:x\n\n", "{type=\"message\",data=\"" REPLACED "\\nx\",id=\"\"} last=\"\""},
        {"event:\301\ndata:\n\n", "{type=\"" REPLACED "\",data=\"\",id=\"\"} last=\"\""},
        {"id:\365\n\n", "none last=\"" REPLACED "\""},
    };

    (void)state;
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        check_stream(cases[index].stream, cases[index].dispatch);
    }
}

static void test_broken_utf8_is_found_at_every_place_in_a_long_line(void **state)
{
    char stream[] = "data:0123456789abcdefghijklmnopqrstuv\n\n";
    char dispatch[100];

    (void)state;
    for (int place = 0; place < 32; place++) {
        char saved = stream[5 + place];
        stream[5 + place] = '\377';
        snprintf(dispatch, sizeof dispatch,
                 "{type=\"message\",data=\"%.*s" REPLACED "%.*s\",id=\"\"} last=\"\"", place, stream + 5,
                 31 - place, stream + 6 + place);
        check_stream(stream, dispatch);
        stream[5 + place] = saved;
    }
}

static void test_last_of_repeated_fields_wins(void **state)
{
    (void)state;
    check_stream("event:a\nid:1\nevent:b\nid:2\ndata:\n\n", "{type=\"b\",data=\"\",id=\"2\"} last=\"2\"");
    check_stream("event:a\nid:1\nevent\nid\ndata:\n\n", "{type=\"message\",data=\"\",id=\"\"} last=\"\"");
    check_stream("retry:1\nretry:2\n", "none last=\"\" retry=2");
}

static void test_byte_order_mark_counts_only_at_the_start(void **state)
{
    (void)state;
    check_stream("\357\273\277\n\ndata:x\n\n", "{type=\"message\",data=\"x\",id=\"\"} last=\"\"");
    check_stream("\n\357\273\277data:x\n\n", "none last=\"\"");
    check_stream("data:\357\273\277\n\n", "{type=\"message\",data=\"\\357\\273\\277\",id=\"\"} last=\"\"");
}

static void test_id_commits_at_the_blank_line_and_persists(void **state)
{
    struct event_source_parser *parser = event_source_parser_new(NULL, NULL);
    size_t length = 9;

    (void)state;
    assert_string_equal(event_source_parser_last_event_id(parser, &length), "");
    assert_int_equal(length, 0);
    event_source_parser_feed(parser, NULL, 0);
    event_source_parser_feed(parser, "id:7\ndata:x\n", 12);
    assert_string_equal(event_source_parser_last_event_id(parser, NULL), "");
    event_source_parser_feed(parser, "\n", 1);
    assert_string_equal(event_source_parser_last_event_id(parser, NULL), "7");
    event_source_parser_feed(parser, "id:8\0\ndata:y\n\nid:9\ndata:z\n", 26);
    assert_string_equal(event_source_parser_last_event_id(parser, &length), "7");
    assert_int_equal(length, 1);
    event_source_parser_free(parser);
}

static void test_retry_applies_when_its_line_ends(void **state)
{
    struct event_source_parser *parser = event_source_parser_new(NULL, NULL);

    (void)state;
    assert_int_equal(event_source_parser_reconnection_time(parser), -1);
    event_source_parser_feed(parser, "retry:12", 8);
    assert_int_equal(event_source_parser_reconnection_time(parser), -1);
    event_source_parser_feed(parser, "\r", 1);
    assert_int_equal(event_source_parser_reconnection_time(parser), 12);
    event_source_parser_feed(parser, "retry:-1\nretry:1e3\nretry: 5 \nretry:\nretry:1:\nretry:/\n", 53);
    assert_int_equal(event_source_parser_reconnection_time(parser), 12);
    event_source_parser_feed(parser, "retry:9223372036854775807\n", 26);
    assert_true(event_source_parser_reconnection_time(parser) == INT64_MAX);
    event_source_parser_feed(parser, "retry:0\n", 8);
    assert_int_equal(event_source_parser_reconnection_time(parser), 0);
    event_source_parser_feed(parser, "retry:9223372036854775808\n", 26);
    assert_true(event_source_parser_reconnection_time(parser) == INT64_MAX);
    event_source_parser_free(parser);
}

static void test_recorder_escapes_every_byte_that_is_not_plain(void **state)
{
    struct event_source_text text = {0};

    (void)state;
    event_source_text_append_quoted(&text, "a\"\\\n\r\t\0001\033 ~\177\303\277", 14);
    assert_string_equal(text.bytes, "\"a\\\"\\\\\\n\\r\\t\\0001\\033 ~\\177\\303\\277\"");
    event_source_text_free(&text);
}

/* Reads text that must contain exactly one row. */
static struct vector *read_row(const char *text)
{
    struct vector *rows;
    size_t count;

    vectors_parse(text, strlen(text), &rows, &count);
    assert_int_equal(count, 1);
    return rows;
}

static void check_bytes(const struct vector_text *text, const char *expected, size_t length)
{
    assert_true(text->present);
    assert_int_equal(text->length, length);
    assert_memory_equal(text->bytes, expected, length + 1);
}

static void test_reader_unescapes(void **state)
{
    struct vector *row = read_row(
        "enc/e\tdata=\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\\'\\?\\0001\\7z\\377\\47\"\tdata: \\0009\\n\\\"\"\\r<\\n"
        "\t{data=\"\\011\\t\\0177\\7\"} last=\"\\101\"\tsource\n");

    (void)state;
    assert_int_equal(row->kind, VECTOR_ENCODE);
    assert_string_equal(row->source, "source");
    assert_int_equal(row->event_count, 1);
    check_bytes(&row->events[0].data, "\a\b\f\n\r\t\v\\\"'\?\0001\007z\377'", 17);
    check_bytes(&row->wire, "data: \0009\n\"\"\r<\n", 14);
    assert_string_equal(row->dispatch, "{data=\"\\t\\t\\0177\\007\"} last=\"A\"");
    vectors_free(row, 1);
}

static void test_reader_expands_repeat(void **state)
{
    struct vector *row = read_row("enc/r\tdata=REPEAT(\"x\",3) id=\"a\"REPEAT(\"\\n;\", 2)\"b\" comment="
                                  "\"REPEAT(\\\"x\\\",3)\" event=REPEAT(\"q\",0)\t"
                                  ":REPEAT(\\\"x\\\",3)\\nREPEAT(\"\\\"y\",2)<|>!\t"
                                  "{data=REPEAT(\"\\\"\",2),id=\"REPEAT(\\\"x\\\",3)\"}");

    (void)state;
    assert_int_equal(row->kind, VECTOR_ENCODE);
    check_bytes(&row->events[0].data, "xxx", 3);
    check_bytes(&row->events[0].id, "a\n;\n;b", 6);
    check_bytes(&row->events[0].comment, "REPEAT(\"x\",3)", 13);
    check_bytes(&row->events[0].type, "", 0);
    check_bytes(&row->wire, ":REPEAT(\"x\",3)\n\"y\"y!", 20);
    assert_int_equal(row->boundary_count, 1);
    assert_int_equal(row->boundaries[0], 19);
    assert_string_equal(row->dispatch, "{data=\"\\\"\\\"\",id=\"REPEAT(\\\"x\\\",3)\"}");
    vectors_free(row, 1);
}

static void test_reader_takes_several_events_and_any_order(void **state)
{
    struct vector *row = read_row("more/s\tretry=-1 id=\"#1 ; data=\\\"x\\\"\" data=\"a;b\" ; comment=\"#\"  "
                                  "event=\"\";retry=9223372036854775808 ; retry=-9223372036854775809 ; "
                                  "id=\"\" retry=0\t\tnone last=\"\"");
    const struct vector_event *events = row->events;

    (void)state;
    assert_int_equal(row->kind, VECTOR_ENCODE);
    assert_int_equal(row->event_count, 5);
    check_bytes(&events[0].id, "#1 ; data=\"x\"", 13);
    check_bytes(&events[0].data, "a;b", 3);
    assert_true(events[0].has_retry && events[0].retry == -1);
    assert_false(events[0].type.present || events[0].comment.present);
    check_bytes(&events[1].comment, "#", 1);
    check_bytes(&events[1].type, "", 0);
    assert_false(events[1].has_retry || events[1].data.present || events[1].id.present);
    assert_true(events[2].retry == INT64_MAX);
    assert_true(events[3].retry == INT64_MIN);
    check_bytes(&events[4].id, "", 0);
    assert_true(events[4].has_retry && events[4].retry == 0);
    vectors_free(row, 1);
}

static void test_reader_finds_write_boundaries(void **state)
{
    struct vector *row = read_row("chunk/b\t(raw stream)\t<|>ab\\n<|><|>c<|>\tnone last=\"\"\n");
    static const size_t expected[] = {0, 3, 3, 4};

    (void)state;
    assert_int_equal(row->kind, VECTOR_STREAM);
    assert_int_equal(row->event_count, 0);
    check_bytes(&row->wire, "ab\nc", 4);
    assert_int_equal(row->boundary_count, 4);
    assert_memory_equal(row->boundaries, expected, sizeof expected);
    vectors_free(row, 1);
}

static void test_reader_knows_expected_errors(void **state)
{
    static const struct {
        const char *row;
        int error;
    } cases[] = {
        {"rej/a\tdata=\"x\"\t\tERR:EINVAL; zero bytes\tsource", EINVAL},
        {"rej/b\tdata=\"\\377\"\t\tERR:EILSEQ; zero bytes", EILSEQ},
        {"rej/c\tretry=-1\t\tERR:ERANGE", ERANGE},
        {"other/d\t\t\tERR:EMSGSIZE and more", EMSGSIZE},
    };

    (void)state;
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        struct vector *row = read_row(cases[index].row);
        assert_int_equal(row->kind, VECTOR_REJECT);
        assert_int_equal(row->expected_error, cases[index].error);
        assert_int_equal(row->event_count, 1);
        assert_int_equal(row->wire.length, 0);
        vectors_free(row, 1);
    }
}

static void test_reader_reports_unreadable_rows(void **state)
{
    static const struct {
        const char *row;
        const char *problem;
    } cases[] = {
        {"enc/x\tdata=\"x\"\tdata: x", "fewer than four columns"},
        {"enc/x", "fewer than four columns"},
        {"enc/x\tdata=\"x\t\tnone", "quote not closed"},
        {"enc/x\tdata=\"x\\\"\t\tnone", "quote not closed"},
        {"enc/x\tdata=\"\\x41\"\t\tnone", "unknown escape"},
        {"enc/x\tdata=\"\"\t\\\tnone", "unknown escape"},
        {"enc/x\tdata=\"\"\t\\400\tnone", "octal escape above 377"},
        {"enc/x\tdata=x\t\tnone", "quoted text or REPEAT expected"},
        {"enc/x\tdata=\"x\"id=\"y\"\t\tnone", "space or semicolon expected after a field"},
        {"enc/x\tdata=\"x\" data=\"y\"\t\tnone", "field given twice"},
        {"enc/x\tretry=1 retry=2\t\tnone", "field given twice"},
        {"enc/x\tretry=\t\tnone", "number expected"},
        {"enc/x\tretry=1e3\t\tnone", "space or semicolon expected after a field"},
        {"enc/x\tDATA=\"x\"\t\tnone", "unknown field"},
        {"enc/x\tdata=REPEAT(\"x\")\t\tnone", "comma expected in REPEAT"},
        {"enc/x\tdata=REPEAT(\"x\",3\t\tnone", "closing bracket expected in REPEAT"},
        {"enc/x\tdata=REPEAT(\"x\",-3)\t\tnone", "count of REPEAT out of range"},
        {"enc/x\tdata=REPEAT(\"x\",99999999999)\t\tnone", "count of REPEAT out of range"},
        {"raw/x\t(raw stream)\tREPEAT(\"x\",y)\tnone", "number expected"},
        {"raw/x\t(raw stream)\t\\n\tnone last=\"", "quote not closed"},
        {"rej/x\tdata=\"x\"\t\tERR:EUNKNOWN; zero bytes", "unknown error name"},
    };

    (void)state;
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++) {
        struct vector *row = read_row(cases[index].row);
        assert_int_equal(row->kind, VECTOR_UNREADABLE);
        assert_string_equal(row->problem, cases[index].problem);
        vectors_free(row, 1);
    }
}

static void test_reader_skips_lines_that_are_no_rows(void **state)
{
    static const char text[] = "name\tinput_event\texpected_wire\texpected_client_dispatch\tsource\r\n"
                               "\r\n# prose\n\n"
                               "http/a\tstatus 410\t(never)\terror fired; \"CLOSED\r\n"
                               "raw/b\t(raw stream)\t: \\n\tnone last=\"\"\tlast";
    struct vector *rows;
    size_t count;

    (void)state;
    vectors_parse(text, sizeof text - 1, &rows, &count);
    assert_int_equal(count, 2);
    assert_int_equal(rows[0].kind, VECTOR_OTHER);
    assert_int_equal(rows[0].line, 5);
    assert_string_equal(rows[0].input, "status 410");
    assert_string_equal(rows[0].dispatch, "error fired; \"CLOSED");
    assert_string_equal(rows[0].source, "");
    assert_int_equal(rows[1].kind, VECTOR_STREAM);
    assert_string_equal(rows[1].name, "raw/b");
    assert_string_equal(rows[1].source, "last");
    vectors_free(rows, count);
}

static void test_reader_reports_a_missing_file(void **state)
{
    struct vector *rows = NULL;
    size_t count = 7;

    (void)state;
    assert_int_equal(vectors_load("no such directory/vectors.tsv", &rows, &count), -ENOENT);
    assert_null(rows);
    assert_int_equal(count, 7);
}

static const struct CMUnitTest direct_tests[] = {
    cmocka_unit_test(test_broken_utf8_is_replaced_by_maximal_subparts),
    cmocka_unit_test(test_broken_utf8_is_found_at_every_place_in_a_long_line),
    cmocka_unit_test(test_last_of_repeated_fields_wins),
    cmocka_unit_test(test_byte_order_mark_counts_only_at_the_start),
    cmocka_unit_test(test_id_commits_at_the_blank_line_and_persists),
    cmocka_unit_test(test_retry_applies_when_its_line_ends),
    cmocka_unit_test(test_recorder_escapes_every_byte_that_is_not_plain),
    cmocka_unit_test(test_reader_unescapes),
    cmocka_unit_test(test_reader_expands_repeat),
    cmocka_unit_test(test_reader_takes_several_events_and_any_order),
    cmocka_unit_test(test_reader_finds_write_boundaries),
    cmocka_unit_test(test_reader_knows_expected_errors),
    cmocka_unit_test(test_reader_reports_unreadable_rows),
    cmocka_unit_test(test_reader_skips_lines_that_are_no_rows),
    cmocka_unit_test(test_reader_reports_a_missing_file),
};

static int run_rows(struct vector *rows, size_t count)
{
    struct CMUnitTest *tests = calloc(count + 1, sizeof *tests);
    size_t test_count = 0;

    if (!tests) {
        return 1;
    }
    for (size_t index = 0; index < count; index++) {
        if (rows[index].kind != VECTOR_OTHER && rows[index].kind != VECTOR_REJECT) {
            tests[test_count].name = rows[index].name;
            tests[test_count].test_func = test_row;
            tests[test_count].initial_state = &rows[index];
            test_count++;
        }
    }
    int failed = _cmocka_run_group_tests("rows", tests, test_count, NULL, NULL);
    free(tests);
    return failed;
}

int main(void)
{
    const char *path = getenv("SSE_TEST_VECTORS");
    struct vector *rows;
    size_t count;

    if (!path) {
        path = "test/vectors/conformance.tsv";
    }
    int error = vectors_load(path, &rows, &count);
    if (error || count == 0) {
        fprintf(stderr, "%s: %s\n", path, error ? strerror(-error) : "no rows");
        return 1;
    }
    int failed = cmocka_run_group_tests(direct_tests, NULL, NULL);
    failed += run_rows(rows, count);
    vectors_free(rows, count);
    return failed == 0 ? 0 : 1;
}
