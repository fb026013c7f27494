// SPDX-License-Identifier: MIT
// The web server that Prometheus asks: for `headwind exporter` and `headwind agent --listen`.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include "util/result.h"

namespace headwind {

// Collects the metrics for a scrape. Runs in threads of the server's own, one at a time. An exception becomes a failed
// scrape.
using Scrape = std::function<Result<std::vector<prometheus::MetricFamily>>()>;

class MetricsServer {
public:
    // `listen`: as typed with --listen, which errors name. To be called with the signals blocked that only the calling
    // thread is to get. The server stays in the network namespace the calling thread is in now.
    static Result<MetricsServer> start(const std::string& listen, Scrape scrape);
    const std::string& address() const { return address_; }  // numeric: 127.0.0.1:9431

private:
    std::shared_ptr<prometheus::Collectable> collector_;  // the server only refers to it, so it goes after the server
    std::unique_ptr<prometheus::Exposer> server_;
    std::string address_;
};

}  // namespace headwind
