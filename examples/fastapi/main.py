"""Units of measure as an API, its documentation at /docs, and a clock that a WebSocket keeps right.

    stead up examples/fastapi
"""

import asyncio
import datetime

from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, StreamingResponse

METRES = {"m": 1, "km": 1000, "mile": 1609.344, "foot": 0.3048, "inch": 0.0254}
app = FastAPI(title="Units")


@app.get("/", response_class=HTMLResponse)
async def page():
    return """<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Units</title>
<h1>Units</h1><p>Try <a href="/convert?value=1&amp;unit=mile&amp;to=km">a mile in kilometres</a>, or
<a href="/docs">what else there is</a>.</p><p>Here it is <b id="now">…</b>.</p>
<script>
const ws = new WebSocket(location.origin.replace(/^http/, "ws") + "/clock");
ws.onmessage = e => { document.getElementById("now").textContent = e.data };
</script></html>"""


@app.get("/convert")
async def convert(value: float, unit: str, to: str):
    if unit not in METRES or to not in METRES:
        raise HTTPException(404, f"one of {', '.join(METRES)}")
    return {"value": value * METRES[unit] / METRES[to], "unit": to}


@app.get("/table")
def table():
    """Not a coroutine: it is run in a thread."""
    return METRES


@app.get("/ticks")
async def ticks(n: int = 3):
    """Server-sent events: each is sent when it happens."""
    async def events():
        for i in range(min(n, 100)):
            yield f"data: {i}\n\n"
            await asyncio.sleep(0.01)
    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/clock")
async def clock(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_text(datetime.datetime.now().strftime("%H:%M:%S"))
            try:
                await asyncio.wait_for(socket.receive_text(), 1)
            except asyncio.TimeoutError:
                pass
    except WebSocketDisconnect:
        pass
