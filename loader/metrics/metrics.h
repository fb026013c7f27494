// What `headwind exporter` serves. Pure.
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
std::vector<prometheus::MetricFamily> metric_families(const Overview& all);

// The same of several network namespaces: the label "netns" says whose a series is. What is the host's has none.
struct NamedOverview {
    std::string netns;
    Overview all;
};
std::vector<prometheus::MetricFamily> metric_families(const std::vector<NamedOverview>& namespaces);

// headwind_scrape_errors_total: scrapes that gave nothing but this.
prometheus::MetricFamily scrape_errors_family(std::uint64_t errors);

struct ListenAddress {
    std::string host;  // name or IPv4 address
    std::string port;  // decimal, 1 .. 65535
    friend bool operator==(const ListenAddress&, const ListenAddress&) = default;
};
// "127.0.0.1:9431", "localhost:9431".
Result<ListenAddress> parse_listen(std::string_view text);

}  // namespace headwind
