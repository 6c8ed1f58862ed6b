// A server of Node alone. stead hands a listening socket over as descriptor 3 (LISTEN_FDS), and a port in PORT.
const http = require('http');

const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.end(`Hello from Node, process ${process.pid}\n`);
});

server.listen(process.env.LISTEN_FDS ? { fd: 3 } : { port: process.env.PORT || 3000, host: '127.0.0.1' });

process.on('SIGTERM', () => server.close());
