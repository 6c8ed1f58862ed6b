// A backend of Node's own http server: every way of answering that a gateway must not disturb.
const http = require('http'), https = require('https'), fs = require('fs'), crypto = require('crypto');
const NAME = process.argv[3] || 'node';
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
let seen = 0;
function plain(q, r) {
  const url = new URL(q.url, 'http://x');
  let n = 0;
  const hash = crypto.createHash('sha256');
  if (url.pathname === '/early') {
    r.writeEarlyHints({link: '</style.css>; rel=preload; as=style', 'x-early': 'yes'});
    r.end('late');
  } else if (url.pathname === '/trailers') {
    r.writeHead(200, {Trailer: 'X-Sum, X-Kind'});
    r.write('body');
    r.addTrailers({'X-Sum': '4', 'X-Kind': 'short'});
    r.end();
  } else if (url.pathname === '/events') {
    r.writeHead(200, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache'});
    r.write('data: 0\n\n');
    waits.push(r);
  } else if (url.pathname === '/next') {
    for (const w of waits) w.write('data: ' + url.searchParams.get('n') + '\n\n');
    r.end('told ' + waits.length);
  } else if (url.pathname === '/close') {
    r.writeHead(200, {Connection: 'close'});
    r.end('closing');
  } else if (url.pathname === '/hang') {
    seen++;
  } else if (url.pathname === '/cut') {
    r.writeHead(200, {'Content-Length': 100});
    r.write('short', () => q.socket.destroy());
  } else if (url.pathname === '/seen') {
    r.end(String(seen));
  } else if (url.pathname === '/big') {
    const block = Buffer.alloc(65536, 'n');
    let left = Number(url.searchParams.get('n'));
    r.writeHead(200, {'Content-Length': left});
    const more = () => {
      while (left > 0) {
        const size = Math.min(left, block.length);
        left -= size;
        if (!r.write(block.subarray(0, size))) { r.once('drain', more); return; }
      }
      r.end();
    };
    more();
  } else {
    q.on('data', d => { n += d.length; hash.update(d); }).on('end', () => {
      r.setHeader('X-Name', NAME);
      r.setHeader('Content-Type', 'application/json');
      r.end(JSON.stringify({name: NAME, method: q.method, url: q.url, raw: q.rawHeaders, length: n,
        sha256: hash.digest('hex'), trailers: q.trailers, port: q.socket.remotePort}));
    });
  }
}
const waits = [];
const tls = process.argv[4] && {key: fs.readFileSync(process.argv[4]), cert: fs.readFileSync(process.argv[5])};
const s = tls ? https.createServer(tls, plain) : http.createServer(plain);
s.keepAliveTimeout = 60000;
s.on('checkContinue', (q, r) => {
  if (q.headers['x-refuse']) { r.writeHead(417); r.end('refused'); return; }
  r.writeContinue();
  plain(q, r);
});
s.on('upgrade', (q, sock, head) => {
  sock.on('error', () => {});
  if (q.headers.upgrade !== 'websocket') {
    sock.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: ' + q.headers.upgrade + '\r\nConnection: Upgrade\r\n\r\n');
    sock.on('data', d => sock.write(d.toString().toUpperCase())).on('end', () => sock.end('bye'));
    return;
  }
  const key = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + GUID).digest('base64');
  sock.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + key + '\r\n\r\n');
  sock.on('data', d => {
    const n = d[1] & 127, m = d.subarray(2, 6), p = Buffer.from(d.subarray(6, 6 + n).map((c, i) => c ^ m[i % 4]));
    sock.write(Buffer.concat([Buffer.from([0x81, n]), p]));
  });
});
if (/^\d+$/.test(process.argv[2])) s.listen(Number(process.argv[2]), '127.0.0.1');
else s.listen(process.argv[2]);
