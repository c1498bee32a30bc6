// The official Node server of the v2 dialect over SQLite, with the tables of the interop suite.
//
// Started by `cargo xtask interop`. Environment: SYNC_INTEROP_DB names the SQLite file. The server listens on a
// free port of 127.0.0.1 and prints one line, `listening <port>`, once every table exists.
'use strict';

const database = process.env.SYNC_INTEROP_DB;
if (!database) {
    console.error('SYNC_INTEROP_DB is not set');
    process.exit(2);
}

const express = require('express');
const mobileApps = require('azure-mobile-apps');
const sqlite3 = require('sqlite3');

// The suite seeds rows in this file beside the server, which would otherwise answer 500 while the file is locked.
// The server asks the same cache for its connection.
new sqlite3.cached.Database(database).configure('busyTimeout', 30000);

// `homePage` and `swagger` stay off: the suite speaks to the tables only.
const mobile = mobileApps({
    logging: { level: 'error' },
    data: { provider: 'sqlite', filename: database, dynamicSchema: true },
});

// The columns are declared, so that a filter on a column nobody has written yet means what it says; with a
// column missing, this server answers an empty list.
mobile.tables.add('TodoItem', {
    softDelete: true,
    columns: {
        text: 'string',
        complete: 'boolean',
        n: 'number',
        price: 'number',
        dueAt: 'date',
        batch: 'string',
    },
});

mobile.tables
    .initialize()
    .then(() => {
        const app = express();
        app.use(mobile);
        const listener = app.listen(0, '127.0.0.1', () => {
            console.log('listening ' + listener.address().port);
        });
        // The suite opens many short connections; idle ones need not be kept.
        listener.keepAliveTimeout = 5000;
    })
    .catch((error) => {
        console.error(error);
        process.exit(1);
    });

// Whoever started this process holds its standard input: when that ends, so does the server. No server outlives
// an xtask that was killed.
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
