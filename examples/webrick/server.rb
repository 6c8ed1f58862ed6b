# WEBrick on the socket that stead hands over (LISTEN_FDS), else on the port that PORT names.
require "socket"
require "webrick"

handed_over = ENV["LISTEN_PID"] == Process.pid.to_s
server = WEBrick::HTTPServer.new(
  DoNotListen: handed_over, BindAddress: "127.0.0.1", Port: Integer(ENV.fetch("PORT", "8000")), AccessLog: []
)
server.listeners << UNIXServer.for_fd(3) if handed_over

server.mount_proc "/" do |request, response|
  response["Content-Type"] = "text/plain; charset=utf-8"
  response.body = "Hello from WEBrick, process #{Process.pid}, you asked for #{request.path}\n"
end
server.mount_proc "/echo" do |request, response|
  response["Content-Type"] = "application/octet-stream"
  response.body = request.body.to_s
end

trap("TERM") { server.shutdown }
server.start
