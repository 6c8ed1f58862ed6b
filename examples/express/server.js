// A wall of notes on Express, with a chat over WebSocket. Before the first `stead up`: npm install
const http = require('http');
const path = require('path');
const express = require('express');
const { WebSocketServer } = require('ws');

const app = express();
const notes = [];

app.set('trust proxy', 1); // stead says in X-Forwarded-For who the client is
app.use(express.static(path.join(__dirname, 'public')));

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

app.get('/', (request, response) => {
  const items = notes.map((note) => `<li>${escape(note)}</li>`).join('');
  response.send(`<!doctype html><link rel="stylesheet" href="/style.css"><h1>Notes</h1><ul>${items || '<li>none yet</li>'}</ul>
<form method="post"><input name="text" required maxlength="200"><button>Add</button></form>`);
});

app.post('/', express.urlencoded({ extended: false, limit: '10kb' }), (request, response) => {
  const text = String(request.body?.text ?? '').trim().slice(0, 200);
  if (!text) return response.status(400).send('There is nothing in it.');
  notes.push(text);
  response.redirect(303, '/');
});

app.get('/notes.json', (request, response) => response.json({ notes, from: request.ip }));

// Server-sent events: each piece reaches the browser when it is written.
app.get('/ticks', (request, response) => {
  let left = Math.min(Number(request.query.n) || 3, 100);
  response.type('text/event-stream').flushHeaders();
  const timer = setInterval(() => {
    response.write(`data: ${left}\n\n`);
    if (--left <= 0) {
      clearInterval(timer);
      response.end();
    }
  }, 20);
  response.on('close', () => clearInterval(timer));
});

const server = http.createServer(app);
const chat = new WebSocketServer({ server, path: '/chat', maxPayload: 1024 * 1024 });
chat.on('connection', (one) => {
  one.on('message', (data, binary) => {
    for (const other of chat.clients) other.send(data, { binary });
  });
});

// stead hands a listening socket over as descriptor 3 (LISTEN_FDS), and a port in PORT.
server.listen(process.env.LISTEN_FDS ? { fd: 3 } : { port: process.env.PORT || 3000, host: '127.0.0.1' });

process.on('SIGTERM', () => {
  for (const one of chat.clients) one.close(1001);
  server.close();
});
