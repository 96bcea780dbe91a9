// Node.js as a child process: a script that reads stdin and prints lines.
#pragma once

#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace kimic::tool {

/// The command that starts Node: $KIMIC_NODE, or `node` on the PATH.
std::string nodeCommand();

class NodeProcess {
public:
  /// Starts Node with the text of an ES module. A Failure if Node does not start.
  explicit NodeProcess(const char *script);
  NodeProcess(const NodeProcess &) = delete;
  NodeProcess &operator=(const NodeProcess &) = delete;
  /// Ends the process if finish() was not reached.
  ~NodeProcess();

  /// Appends to the script's stdin. A Failure if the script has ended.
  void write(std::string_view bytes);

  /// Closes stdin, waits for the script, and returns the lines that it printed. A Failure if it failed.
  std::vector<std::string> finish();

private:
  int wait();
  [[noreturn]] void failed(int status);

  int process_ = -1;
  int input_ = -1;  ///< write end of the script's stdin
  int output_ = -1; ///< read end of its stdout
  std::string printed_;
  std::thread reader_; ///< collects `printed_`, so that neither side waits for the other's full pipe
};

} // namespace kimic::tool
