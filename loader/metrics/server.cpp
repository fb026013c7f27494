// SPDX-License-Identifier: MIT
// Starts the web server at an address that is free, and counts the scrapes that fail.
#include "metrics/server.h"

#include <netdb.h>
#include <sys/socket.h>

#include <mutex>

#include "metrics/metrics.h"
#include "util/fd.h"
#include "util/output.h"

namespace headwind {
namespace {

class Collector : public prometheus::Collectable {
public:
    explicit Collector(Scrape scrape) : scrape_(std::move(scrape)) {}

    std::vector<prometheus::MetricFamily> Collect() const override
    {
        const std::lock_guard guard(mutex_);
        std::vector<prometheus::MetricFamily> out;
        if (auto families = scrape()) {
            out = std::move(*families);
            last_error_.clear();
        } else {
            ++errors_;
            tell(families.error().message);
        }
        out.push_back(scrape_errors_family(errors_));
        return out;
    }

private:
    Result<std::vector<prometheus::MetricFamily>> scrape() const
    {
        try {
            return scrape_();
        } catch (const std::exception& error) {  // no thread, no memory: must not reach the web server
            return fail(ErrorKind::failed, "{}", error.what());
        }
    }

    // Tells each new trouble once, not with each scrape.
    void tell(const std::string& message) const
    {
        if (message == last_error_) return;
        say("headwind: scrape failed: {}\n", message);
        last_error_ = message;
    }

    Scrape scrape_;
    mutable std::mutex mutex_;
    mutable std::uint64_t errors_ = 0;
    mutable std::string last_error_;
};

struct AddressList {
    addrinfo* first = nullptr;
    AddressList() = default;
    AddressList(const AddressList&) = delete;
    AddressList& operator=(const AddressList&) = delete;
    ~AddressList()
    {
        if (first != nullptr) freeaddrinfo(first);
    }
};

std::string numeric(const addrinfo& address)
{
    char host[NI_MAXHOST] = {}, port[NI_MAXSERV] = {};
    getnameinfo(address.ai_addr, address.ai_addrlen, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    return fmt::format("{}:{}", host, port);
}

// Binds as the web server will. The server would only say that it failed, not why.
Status try_bind(const addrinfo& address, const std::string& text)
{
    const Fd fd(socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno(errno, "--listen " + text);
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd.get(), address.ai_addr, address.ai_addrlen) == 0 && listen(fd.get(), 1) == 0) return {};
    if (errno == EADDRINUSE)
        return fail(ErrorKind::failed, "--listen {}: something listens there already: choose another port", text);
    if (errno == EADDRNOTAVAIL)
        return fail(ErrorKind::usage, "--listen {}: this machine has no such address (0.0.0.0: all it has)", text);
    return fail_errno(errno, "--listen " + text);
}

// The address as the web server takes it, numeric, with a port that is free.
Result<std::string> free_address(const std::string& text)
{
    HW_TRY(const auto wanted, parse_listen(text));
    addrinfo hints{};
    hints.ai_family = AF_INET;  // all that Debian's civetweb is built for
    hints.ai_socktype = SOCK_STREAM;
    AddressList found;
    if (const int error = getaddrinfo(wanted.host.c_str(), wanted.port.c_str(), &hints, &found.first); error != 0)
        return fail(ErrorKind::usage, "--listen {}: {}: {}", text, wanted.host, gai_strerror(error));
    HW_CHECK(try_bind(*found.first, text));
    return numeric(*found.first);
}

Result<std::unique_ptr<prometheus::Exposer>> start_server(const std::string& address)
{
    // A client that sends its request byte by byte takes a thread for two seconds at most, and not the last thread.
    const std::vector<std::string> options{"listening_ports",    address, "num_threads", "16",
                                           "request_timeout_ms", "2000"};
    try {
        return std::make_unique<prometheus::Exposer>(options);
    } catch (const std::exception& error) {
        return fail(ErrorKind::failed, "--listen {}: the web server does not start: {}", address, error.what());
    }
}

}  // namespace

Result<MetricsServer> MetricsServer::start(const std::string& listen, Scrape scrape)
{
    MetricsServer out;
    HW_TRY(out.address_, free_address(listen));
    HW_TRY(out.server_, start_server(out.address_));
    out.collector_ = std::make_shared<Collector>(std::move(scrape));
    out.server_->RegisterCollectable(out.collector_);
    return out;
}

}  // namespace headwind
