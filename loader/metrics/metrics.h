// SPDX-License-Identifier: MIT
// The metrics that `headwind exporter` serves, and the address it serves them at. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <prometheus/metric_family.h>

#include "engine/engine.h"
#include "util/result.h"

namespace headwind {

// The snapshot as Prometheus metrics. One series per rule name, also while a rule is being put in another's place.
std::vector<prometheus::MetricFamily> metric_families(const Snapshot& all);

// The snapshots of several network namespaces as metrics: the label "netns" names the namespace of a series. A series
// of the host's has none.
struct NamedSnapshot {
    std::string netns;
    Snapshot all;
};
std::vector<prometheus::MetricFamily> metric_families(const std::vector<NamedSnapshot>& namespaces);

// headwind_scrape_errors_total: the number of scrapes that failed, and gave nothing but this metric.
prometheus::MetricFamily scrape_errors_family(std::uint64_t errors);

struct ListenAddress {
    std::string host;  // name or IPv4 address
    std::string port;  // decimal, 1 .. 65535
    friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};
// Reads "127.0.0.1:9431" or "localhost:9431".
Result<ListenAddress> parse_listen(std::string_view text);

}  // namespace headwind
