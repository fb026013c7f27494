// headwind exporter
#include <netdb.h>
#include <sys/socket.h>

#include <csignal>
#include <future>
#include <memory>
#include <mutex>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>

#include "cli.h"
#include "exporter.h"
#include "fd.h"

namespace headwind {
namespace {

struct Options {
    CommonOptions common;
    std::string listen = "127.0.0.1:9431";
};

// In a thread of its own, which alone enters the namespace: the web server's threads stay where its socket is. Entered
// anew each time, since an open file would keep a namespace alive that its owner has deleted.
Result<Overview> read_overview(const CommonOptions& options)
{
    try {
        return std::async(std::launch::async,
                          [&options]() -> Result<Overview> {
                              HW_CHECK(enter(options));
                              return overview();
                          })
            .get();
    } catch (const std::exception& error) {  // no thread, no memory: must not reach the web server
        return fail(ErrorKind::failed, "{}", error.what());
    }
}

class Collector : public prometheus::Collectable {
public:
    explicit Collector(CommonOptions options) : options_(std::move(options)) {}

    std::vector<prometheus::MetricFamily> Collect() const override
    {
        const std::lock_guard guard(mutex_);
        std::vector<prometheus::MetricFamily> out;
        if (const auto all = read_overview(options_)) {
            out = metric_families(*all);
            last_error_.clear();
        } else {
            ++errors_;
            tell(all.error().message);
        }
        out.push_back(scrape_errors_family(errors_));
        return out;
    }

private:
    // Once for each new trouble, not for each scrape.
    void tell(const std::string& message) const
    {
        if (message == last_error_) return;
        fmt::print(stderr, "headwind: scrape failed: {}\n", message);
        last_error_ = message;
    }

    CommonOptions options_;
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

// Binds as the web server will, which only says that it failed, not why.
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

// What the web server takes: a numeric address and a port that are free.
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
    try {
        return std::make_unique<prometheus::Exposer>(address);
    } catch (const std::exception& error) {
        return fail(ErrorKind::failed, "--listen {}: the web server does not start: {}", address, error.what());
    }
}

// Blocked before the web server's threads are made, so that only sigwait gets them.
sigset_t block_end_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return signals;
}

Result<int> serve(const Options& options)
{
    HW_CHECK(read_overview(options.common));  // what cannot work is said now, not at the first scrape
    HW_TRY(const auto address, free_address(options.listen));
    const auto signals = block_end_signals();
    HW_TRY(const auto server, start_server(address));
    const auto collector = std::make_shared<Collector>(options.common);
    server->RegisterCollectable(collector);
    const auto& netns = options.common.netns;
    fmt::print("metrics of {} on http://{}/metrics\n", netns.empty() ? "this network namespace" : "--netns " + netns,
               address);
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    return 0;
}

}  // namespace

void register_exporter(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("exporter", "serve the counters to Prometheus, until interrupted");
    command->add_option("--listen", options->listen, "address and port (there is no password: mind who can reach it)")
        ->type_name("HOST:PORT")
        ->capture_default_str();
    add_common_options(command, options->common, false);
    command->footer(
        "Listens where it is started, also with --netns: Prometheus need not reach that namespace.\n\n"
        "Examples:\n  headwind exporter\n  headwind exporter --netns blue --listen 0.0.0.0:9431\n"
        "  curl http://127.0.0.1:9431/metrics");
    command->callback([options, &cli] { cli.chosen = [options] { return serve(*options); }; });
}

}  // namespace headwind
