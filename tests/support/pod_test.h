// SPDX-License-Identifier: MIT
// A host with a server and two pods: "shop" with the containers web and db, and "back" with api.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "net_test.h"
#include "pod.h"

namespace headwind::test {

class Pods : public NetTest {
protected:
    void SetUp() override
    {
        NetTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        if (const auto missing = Node::missing(); !missing.empty()) GTEST_SKIP() << missing;
        node_ = std::make_unique<Node>();
        shop_ = std::make_unique<Pod>(*node_, "shop");
        shop_->start("web");
        shop_->start("db");
        back_ = std::make_unique<Pod>(*node_, "back");
        back_->start("api");
        server_ = std::make_unique<Process>(&host(), words("python3 " + container_probe() + " serve 6000"));
        ASSERT_TRUE(eventually([&] { return server_->out() == "ready\n"; })) << server_->err();
    }

    void TearDown() override
    {
        server_.reset();
        back_.reset();
        shop_.reset();
        node_.reset();
    }

    const Namespace& host() const { return node_->host(); }
    Pod& shop() { return *shop_; }
    Pod& back() { return *back_; }
    std::unique_ptr<Pod>& shop_itself() { return shop_; }
    const Node& node() const { return *node_; }

    // The numbers of answers to `count` requests each to another pod and to the host, over v4 and v6.
    std::vector<std::size_t> answers(const std::string& container, std::size_t count, bool all_at_once = false)
    {
        return {shop().ask(container, back().address4(), Pod::port, count, all_at_once),
                shop().ask(container, back().address6(), Pod::port, count, all_at_once),
                shop().ask(container, Node::address4, 6000, count, all_at_once),
                shop().ask(container, Node::address6, 6000, count, all_at_once)};
    }
    void expect_cut(const std::string& container, std::size_t count = 20)
    {
        EXPECT_THAT(answers(container, count, true), testing::Each(0U)) << container;
    }
    void expect_spared(const std::string& container, std::size_t count = 20)
    {
        EXPECT_THAT(answers(container, count), testing::Each(count)) << container;
    }

    static std::vector<std::string> instances()
    {
        std::vector<std::string> found;
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/bpf/headwind", error))
            if (entry.is_directory() && !entry.path().filename().string().starts_with("lock"))
                found.push_back(entry.path().filename());
        return found;
    }

private:
    std::unique_ptr<Node> node_;
    std::unique_ptr<Pod> shop_, back_;
    std::unique_ptr<Process> server_;
};

}  // namespace headwind::test
