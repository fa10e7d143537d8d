// SPDX-License-Identifier: MIT
// The form of the page that publishes events and ends streams.

const fields = byId('publish-form').elements;

function tokenHeader() {
    return fields.token.value === '' ? {} : { Authorization: `Bearer ${fields.token.value}` };
}

function showResult(outcome, title, detail, field = '') {
    [...fields].forEach((input) => input.removeAttribute('aria-invalid'));
    fields.namedItem(field)?.setAttribute('aria-invalid', 'true');
    const body = make(outcome === 'ok' ? 'code' : 'span', detail);
    byId('publish-result').dataset.outcome = outcome;
    byId('publish-result').replaceChildren(make('strong', title), ' ', body);
}

async function post(done, path, pairs, body) {
    try {
        const response = await fetch(path + encodePairs('?', pairs), {
            method: 'POST',
            headers: tokenHeader(),
            body,
            signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        });
        const reply = parseObject(await response.text());
        if (response.ok) {
            showResult('ok', `${done} (${response.status})`, JSON.stringify(reply, null, 1));
            return;
        }
        const { error = '', field = response.status === 401 ? 'token' : '' } = reply;
        showResult('error', `Refused (${response.status})${field && `: ${field}`}`, error, field);
    } catch (error) {
        showResult('error', 'No answer', error.message);
    }
}

function publish(event) {
    event.preventDefault();
    post('Published', 'publish', ['topic', 'type', 'id', 'retry', 'key'].map((name) => [name, fields[name].value]),
        fields.data.value);
}

function completeTopic() {
    post('Ended', 'complete', [['topic', fields.topic.value]]);
}

byId('publish-form').addEventListener('submit', publish);
byId('complete-button').addEventListener('click', completeTopic);
