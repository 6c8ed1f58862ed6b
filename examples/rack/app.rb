require "json"
require "sinatra/base"

# A wall of notes on Sinatra. Puma runs it, on the socket that stead hands over.
class App < Sinatra::Base
  set :show_exceptions, false
  set :notes, []
  set :lock, Mutex.new

  helpers do
    def h(text)
      Rack::Utils.escape_html(text)
    end
  end

  get "/" do
    items = settings.notes.map { |note| "<li>#{h(note)}</li>" }.join
    "<!doctype html><h1>Notes</h1><ul>#{items.empty? ? "<li>none yet</li>" : items}</ul>" \
      "<form method=\"post\"><input name=\"text\" required maxlength=\"200\"><button>Add</button></form>"
  end

  post "/" do
    text = params[:text].to_s.strip[0, 200]
    halt 400, "There is nothing in it." if text.empty?
    settings.lock.synchronize { settings.notes << text }
    redirect to("/"), 303
  end

  get "/about.json" do
    content_type :json
    JSON.generate(server: request.env["SERVER_SOFTWARE"], ip: request.ip, rack_env: ENV["RACK_ENV"], pid: Process.pid)
  end
end
