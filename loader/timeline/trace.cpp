// SPDX-License-Identifier: MIT
// Parses traces.
#include "timeline/trace.h"

#include <algorithm>
#include <array>
#include <optional>

#include <headwind/abi.h>

#include "util/lines.h"
#include "util/text.h"
#include "util/units.h"

namespace headwind {
namespace {

constexpr std::string_view header_example = "name the columns, time first, like time,delay,loss,rate";

struct Column {
    std::string name;                  // as in the file
    std::optional<Quantity> quantity;  // none: the time
    std::string unit;                  // behind each number; empty: the cells have units
};

std::vector<std::string_view> split_cells(std::string_view line)
{
    std::vector<std::string_view> cells;
    for (;;) {
        const auto comma = line.find(',');
        cells.push_back(trimmed(line.substr(0, comma)));
        if (comma == std::string_view::npos) return cells;
        line.remove_prefix(comma + 1);
    }
}

Result<std::uint64_t> parse_cell(const Column& column, const std::string& text)
{
    if (!column.quantity) return parse_duration(text);
    return parse_quantity(*column.quantity, text);
}

// "delay", "delay_ms"
Result<Column> parse_column(std::string_view cell)
{
    Column column;
    column.name = std::string(cell);
    const auto bar = cell.find('_');
    const auto base = cell.substr(0, bar);
    for (const auto quantity : quantities)
        if (name_of(quantity) == base) column.quantity = quantity;
    if (!column.quantity && base != "time")
        return fail(ErrorKind::usage,
                    "no column is called {}: use time, delay, jitter, loss, corrupt, duplicate or rate",
                    printable(cell));
    if (bar == std::string_view::npos) return column;
    column.unit = std::string(cell.substr(bar + 1));
    if (column.unit == "percent") column.unit = "%";
    const bool blank = column.unit.find_first_of(" \t") != std::string::npos;
    if (column.unit.empty() || blank || !parse_cell(column, "10" + column.unit))
        return fail(ErrorKind::usage,
                    "{}: no such unit: write time_s, delay_ms, loss_percent or rate_kbit, for example",
                    printable(cell));
    return column;
}

class TraceReader {
public:
    Status read_line(std::string_view line)
    {
        const auto cells = split_cells(line);
        if (columns_.empty()) return read_header(cells);
        if (cells.size() != columns_.size())
            return fail(ErrorKind::usage,
                        "{} cells where the first line names {} columns: write - for a value that stays", cells.size(),
                        columns_.size());
        if (rows_.size() == HW_MAX_STEPS)
            return fail(ErrorKind::usage, "a trace has at most {} rows: merge some", +HW_MAX_STEPS);
        return read_row(cells);
    }

    Result<Timeline> finish(const std::string& file, bool repeat)
    {
        if (columns_.empty()) return fail(ErrorKind::usage, "{}: empty: {}", file, header_example);
        if (rows_.empty()) return fail(ErrorKind::usage, "{}: no rows: write one for each step, the first at 0s", file);
        if (repeat && rows_.size() == 1)
            return fail(ErrorKind::usage, "{}: --repeat needs two rows: the last lasts as long as the one before",
                        file);
        Timeline out;
        out.file = file;
        out.repeat = repeat;
        out.length = rows_.back().begin;
        if (repeat) out.length += rows_.back().begin - rows_[rows_.size() - 2].begin;
        out.phases = static_cast<std::uint32_t>(rows_.size());
        for (const auto quantity : quantities) {
            const auto at = static_cast<std::size_t>(quantity);
            if (!has(quantity)) continue;
            const auto [least, most] =
                std::minmax_element(rows_.begin(), rows_.end(),
                                    [at](const Phase& a, const Phase& b) { return a.values.at(at) < b.values.at(at); });
            out.varying.push_back({quantity, least->values.at(at), most->values.at(at)});
        }
        out.rows = std::make_shared<const std::vector<Phase>>(std::move(rows_));
        return out;
    }

private:
    bool has(std::optional<Quantity> quantity) const
    {
        return std::any_of(columns_.begin(), columns_.end(),
                           [quantity](const Column& column) { return column.quantity == quantity; });
    }

    Status read_header(const std::vector<std::string_view>& cells)
    {
        for (const auto cell : cells) {
            HW_TRY(auto column, parse_column(cell));
            if (columns_.empty() != !column.quantity)
                return fail(ErrorKind::usage, "time must be the first column, and only the first: {}", header_example);
            if (!columns_.empty() && has(column.quantity))
                return fail(ErrorKind::usage, "{} is there twice", printable(cell));
            columns_.push_back(std::move(column));
        }
        if (columns_.size() == 1) return fail(ErrorKind::usage, "nothing varies: {}", header_example);
        return {};
    }

    Status read_row(const std::vector<std::string_view>& cells)
    {
        Phase row = rows_.empty() ? Phase{} : rows_.back();
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const auto& column = columns_[i];
            if (cells[i].empty() || cells[i] == "-") {
                if (column.quantity && !rows_.empty()) continue;
                return fail(ErrorKind::usage, "{}: no value, and {}: write one", column.name,
                            column.quantity ? "no row before this" : "each row has its time");
            }
            const auto value = parse_cell(column, std::string(cells[i]) + column.unit);
            if (!value)
                return fail(ErrorKind::usage, "{} {}: {}", column.name, printable(cells[i]), value.error().message);
            (column.quantity ? row.values.at(static_cast<std::size_t>(*column.quantity)) : row.begin) = *value;
        }
        if (rows_.empty() && row.begin != 0)
            return fail(ErrorKind::usage, "time {}: the first row is at 0", printable(cells.front()));
        if (row.begin > longest_ramp)
            return fail(ErrorKind::usage, "time {}: at most 720h (30 days)", printable(cells.front()));
        if (!rows_.empty() && row.begin <= rows_.back().begin)
            return fail(ErrorKind::usage, "time {}: not after the row before: times must increase",
                        printable(cells.front()));
        rows_.push_back(row);
        return {};
    }

    std::vector<Column> columns_;
    std::vector<Phase> rows_;
};

}  // namespace

Result<Timeline> parse_trace(std::string_view text, const std::string& file, bool repeat)
{
    TraceReader reader;
    HW_CHECK(read_lines(text, file, [&reader](std::string_view line) { return reader.read_line(line); }));
    return reader.finish(file, repeat);
}

}  // namespace headwind
