// SPDX-License-Identifier: MIT
// Reads files of rules line by line.
#include "commands/rule_file.h"

#include <fstream>
#include <iostream>

#include "commands/rule_line.h"
#include "rule/protect.h"
#include "util/text.h"

namespace headwind {
namespace {

// The request of a line. A rule in another network namespace is refused: a file changes one only.
Result<AddRequest> request_here(const AddArgs& words, const CommonOptions& common)
{
    HW_TRY(const auto place, find_place(words, common));
    if (place && place->netns)
        return fail(
            ErrorKind::usage,
            "the rule would sit {}, and a file changes one namespace only: name it before the file (--netns {}), or add --at host to the line",
            place->reason, place->netns_path);
    return add_request(words, place);
}

Status append_line(const LineArgs& words, const CommonOptions& common, Changes& changes)
{
    if (words.adds) {
        HW_TRY(auto request, request_here(words.add, common));
        changes.add.push_back(std::move(request));
    } else if (words.changes) {
        HW_TRY(const auto requests, change_requests(words.change));
        changes.change.insert(changes.change.end(), requests.begin(), requests.end());
        HW_TRY(changes.protect, make_protections(words.change.protect));
    }
    changes.remove.insert(changes.remove.end(), words.remove.begin(), words.remove.end());
    return {};
}

Result<std::vector<FileLine>> read_lines(std::istream& input, const std::string& name, const CommonOptions& common)
{
    std::vector<FileLine> lines;
    RuleLine grammar;
    std::string text;
    errno = 0;
    for (int number = 1; std::getline(input, text); ++number) {
        FileLine line{fmt::format("{}:{}", name, number), std::string(trimmed(text)), {}};
        if (line.words.empty() || line.words.front() == '#') continue;
        const auto words = grammar.parse(line.words);
        const Status status = words ? append_line(*words, common, line.changes) : tl::unexpected(words.error());
        if (!status) return fail(status.error().kind, "{}: {}", line.place, status.error().message);
        lines.push_back(std::move(line));
    }
    if (input.bad() || !input.eof())
        return fail(ErrorKind::failed, "{} cannot be read to its end{}: nothing was changed", name,
                    errno != 0 ? fmt::format(" ({})", std::strerror(errno)) : "");
    return lines;
}

}  // namespace

Result<std::vector<FileLine>> read_rule_file(const std::string& file, const CommonOptions& common)
{
    if (file == "-") {
        std::ios::sync_with_stdio(false);  // a std::cin in step with stdio takes an error of reading for the end
        return read_lines(std::cin, "standard input", common);
    }
    std::ifstream input(file);
    if (!input) return fail_errno(errno, "open " + file);
    return read_lines(input, file, common);
}

}  // namespace headwind
