// The memory of an instance that every packet reads (abi.h, hw_control). All of the loader reads it; each part is
// written by one file, which alone defines the class that is a friend here.
#pragma once

#include <headwind/abi.h>

#include "util/fd.h"

namespace headwind {

class Control {
public:
    Control() = default;
    explicit Control(Mapping<hw_control> memory) : memory_(std::move(memory)) {}
    const hw_control* operator->() const { return memory_.operator->(); }
    const hw_control& operator*() const { return *memory_; }

private:
    friend class DeviceWriter;    // device_table.cpp: devices
    friend class VersionWriter;   // transaction.cpp: version, tables, dirty, next_rule
    friend class LineWriter;      // line.cpp: line_*, route_localnet, accept_local
    friend class SettingsWriter;  // instance.cpp: max_held, programs
    hw_control& writable() const { return *memory_; }
    Mapping<hw_control> memory_;
};

}  // namespace headwind
