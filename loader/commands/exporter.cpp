// SPDX-License-Identifier: MIT
// The command `headwind exporter`: serves the counters of a network namespace to Prometheus.
#include <csignal>
#include <future>

#include "commands/cli.h"
#include "metrics/metrics.h"
#include "metrics/server.h"
#include "util/output.h"
#include "util/text.h"

namespace headwind {
namespace {

struct ExporterOptions {
    CommonOptions common;
    std::string listen = "127.0.0.1:9431";
};

// Takes a snapshot in a thread of its own, which alone enters the namespace: the web server's threads stay where its
// socket is. The namespace is entered anew each time, since an open file would keep a deleted one alive.
Result<Snapshot> read_snapshot(const CommonOptions& options)
{
    return std::async(std::launch::async,
                      [&options]() -> Result<Snapshot> {
                          HW_CHECK(enter(options));
                          return take_snapshot();
                      })
        .get();
}

// Blocks the signals that end the exporter. It is called before the web server's threads are made, so that only sigwait
// gets them.
sigset_t block_end_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return signals;
}

Result<int> serve(const ExporterOptions& options)
{
    HW_CHECK(read_snapshot(options.common));  // an error is told now, not at the first scrape
    const auto signals = block_end_signals();
    const auto scrape = [&options]() -> Result<std::vector<prometheus::MetricFamily>> {
        HW_TRY(const auto all, read_snapshot(options.common));
        return metric_families(all);
    };
    HW_TRY(const auto server, MetricsServer::start(options.listen, scrape));
    const auto& netns = options.common.netns;
    put("metrics of {} on http://{}/metrics\n",
        netns.empty() ? "this network namespace" : "--netns " + printable(netns), server.address());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    return 0;
}

}  // namespace

void register_exporter(CLI::App& app, Cli& cli)
{
    auto options = std::make_shared<ExporterOptions>();
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
