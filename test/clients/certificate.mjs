// SPDX-License-Identifier: MIT
// Certificates for servers on the loopback interface.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A certificate for the loopback address and its key, as two files and as one. */
export function makeCertificate(directory) {
    const [file, keyFile, bothFile] = ['certificate.pem', 'key.pem', 'both.pem'].map((name) => join(directory, name));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
        '-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1',
        '-keyout', keyFile, '-out', file], { stdio: 'ignore' });
    writeFileSync(bothFile, readFileSync(file, 'latin1') + readFileSync(keyFile, 'latin1'), { mode: 0o600 });
    return { file, keyFile, bothFile };
}
