// Reads filters from standard input, one JSON string per line, and has the official parser of the Node server turn
// each into SQL of both its kinds. Prints one JSON line per filter: null, or why it was refused.
'use strict';

const odata = require('azure-odata-sql');
const lines = require('readline').createInterface({ input: process.stdin });

lines.on('line', (line) => {
    const filters = JSON.parse(line);
    let refused = null;
    for (const flavor of ['sqlite', 'mssql']) {
        try {
            odata.format({ table: 'TodoItem', filters }, { flavor });
        } catch (error) {
            refused = flavor + ': ' + error.message;
        }
    }
    console.log(JSON.stringify(refused));
});
