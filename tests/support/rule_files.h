// SPDX-License-Identifier: MIT
// Rules whose flags name files, and such files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "rule/files.h"
#include "rule_test.h"

namespace headwind::test {

// A file in a folder of its own, which goes with it.
class TextFile {
public:
    explicit TextFile(const std::string& text) { std::ofstream(path()) << text; }
    ~TextFile() { std::filesystem::remove_all(folder_); }
    TextFile(const TextFile&) = delete;
    TextFile& operator=(const TextFile&) = delete;
    std::string path() const { return folder_ + "/file.txt"; }

private:
    std::string name_ = testing::TempDir() + "headwind-file-XXXXXX", folder_ = mkdtemp(name_.data());
};

}  // namespace headwind::test

namespace headwind::rule_test {

inline Result<Rule> loaded(const std::string& line)
{
    RuleSpec text = text_of(split(line));
    HW_CHECK(load_files(text));
    return make_rule(text);
}

inline Rule changed(const Rule& before, const std::string& line)
{
    RuleSpec given = text_of(split(line));
    EXPECT_TRUE(load_files(given));
    const auto rule = change_rule(before, given);
    EXPECT_TRUE(rule) << line << ": " << rule.error().message;
    return rule.value_or(before);
}

}  // namespace headwind::rule_test
