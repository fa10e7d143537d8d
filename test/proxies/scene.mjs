// SPDX-License-Identifier: MIT
// A front with hubs behind it, and a proxy between them that records the traffic and can replace one hub by
// another.
import { once } from 'node:events';
import { startHub, until } from '../clients/hub.mjs';
import { startProxy } from '../clients/proxy.mjs';
import { curlSources, eventSources, fetchSource, openCurl } from '../clients/sources.mjs';
import { openContext, openTab } from './tab.mjs';

/** No port to connect to. */
const NOWHERE = 1;

export class Scene {
    #clients = [];

    /** Starts a front with its `start`. */
    static async begin(start) {
        const scene = new Scene();
        scene.between = await startProxy(NOWHERE);
        scene.front = await start(Number(new URL(scene.between.url).port));
        return scene;
    }

    async end() {
        await this.front.stop();
        await this.between.stop();
    }

    /** A hub for one test. All streams that are opened in it close before it ends. */
    async startHub(t, options = []) {
        const hub = await startHub(['--retry', '20', ...options]);
        this.hub = hub;
        this.between.port = hub.port;
        this.between.exchanges.length = 0;
        t.after(async () => {
            await Promise.all(this.#clients.splice(0).map((client) => client.close()));
            await this.hub.stop();
        });
        return hub;
    }

    /** From now on the front's requests go to another hub. The streams of the first one continue. */
    async replaceHub(options = []) {
        this.hub = await startHub(['--retry', '20', ...options]);
        this.between.port = this.hub.port;
        return this.hub;
    }

    /** Ends the hub. Then the front has no server any more. */
    async takeHubAway() {
        const closed = once(this.between.server, 'close');
        this.between.server.close();
        await this.hub.stop();
        await closed;
    }

    /** Connects the front to a hub again. */
    async bringHubBack() {
        this.between.server.listen(new URL(this.between.url).port, '127.0.0.1');
        await once(this.between.server, 'listening');
    }

    url(topic) {
        return this.hub.events(topic, this.front.url);
    }

    #keep(client) {
        this.#clients.push(client);
        return client;
    }

    /** Opens a stream without waiting for its head. */
    openCurl(topic, options = []) {
        const secure = this.front.tls ? ['--http2', '--cacert', this.front.caFile] : [];
        return this.#keep(openCurl(this.url(topic), [...secure, ...options]));
    }

    async curl(topic, options = []) {
        const client = this.openCurl(topic, options);
        await client.untilOpen();
        return client;
    }

    /** Streams of one topic, with a client of each kind, by name. */
    async openAll(t, topic, types = []) {
        return [...await this.openBare(topic), ...await this.openEventSources(t, topic, types)];
    }

    /** Clients that do not reconnect. */
    async openBare(topic) {
        const clients = [await this.curl(topic)];
        if (!this.front.tls) {
            clients.push(this.#keep(curlSources[1].open(this.url(topic))));
        }
        clients.push(this.#keep(fetchSource.open(this.url(topic), [], this.#agentOptions())));
        for (const client of clients) {
            await client.untilOpen();
        }
        return clients;
    }

    /** Clients that reconnect by themselves. */
    async openEventSources(t, topic, types = []) {
        const clients = eventSources.map((source) => (
            this.#keep(source.open(this.url(topic), types, this.#agentOptions()))));
        clients.push(this.#keep(await openTab(await openContext(t), this.url(topic), types)));
        for (const client of clients) {
            await client.untilOpen();
        }
        return clients;
    }

    #agentOptions() {
        return this.front.tls ? { connect: { ca: this.front.ca }, allowH2: true } : {};
    }

    untilStreams(count) {
        return until(async () => (await this.hub.stats()).emitters === count, `${count} streams`,
            () => `at the hub of ${this.front.url}`);
    }
}
