#pragma once

#include "controlplane/runtime/command.h"

#include <deque>
#include <list>
#include <memory>
#include <string>

namespace culvert::runtime {

// Serves the shell on RUN_DIR/culvert.sock (config/shell/protocol.h): root, the daemon's own user and members of the
// socket's group.
class ApiServer {
public:
    static Result<std::unique_ptr<ApiServer>, SystemError> open(Loop& loop, ConfigurationStore& store,
                                                                const std::string& path);
    ~ApiServer();

private:
    struct Outgoing {
        std::string bytes;
        std::size_t sent = 0;
        Descriptor ns;  // travels beside the first octet
    };
    struct Client {
        Client(ConfigurationStore& store) : session(store) {}
        Descriptor socket;
        Loop::Watch watch;
        config::shell::LineBuffer in;
        std::deque<std::string> requests;
        std::deque<Outgoing> out;
        CommandSession session;
        // The request in hand, while its text is being made.
        std::uint64_t id = 0;
        int status = 0;
        bool close = false;
        std::string error;
        show::Producer producer;
        bool answering = false;
    };
    using Clients = std::list<Client>;

    ApiServer(Loop& loop, ConfigurationStore& store, Descriptor socket, std::string path);
    void accept_all();
    void on_event(Clients::iterator client, std::uint32_t events);
    void work(Clients::iterator client);
    void begin(Client& client, const std::string& line);
    void finish(Client& client);
    bool flush(Client& client);  // false: the client is gone
    static void queue(Client& client, const config::shell::Reply& reply, Descriptor ns = {});

    Loop& loop_;
    ConfigurationStore& store_;
    Descriptor socket_;
    std::string path_;
    Loop::Watch watch_;
    Clients clients_;
};

}  // namespace culvert::runtime
