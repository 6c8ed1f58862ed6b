// Says in the field X-Read what Node's own server read of a request: JSON in base64, bytes as Latin-1.
const http = require('http');
const s = http.createServer({maxHeaderSize: 65536}, (q, r) => {
  const parts = [];
  q.on('data', d => parts.push(d)).on('end', () => {
    const fields = [];
    for (let i = 0; i < q.rawHeaders.length; i += 2) fields.push([q.rawHeaders[i].toLowerCase(), q.rawHeaders[i + 1]]);
    const read = {method: q.method, target: q.url, fields, body: Buffer.concat(parts).toString('latin1')};
    r.setHeader('X-Read', Buffer.from(JSON.stringify(read)).toString('base64'));
    r.end('ok');
  });
});
s.keepAliveTimeout = 60000;
s.listen(Number(process.argv[2]), '127.0.0.1');
