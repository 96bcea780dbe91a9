#include "compiler/tools/kimic/Node.h"

#include "compiler/tools/kimic/Command.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace kimic::tool {

std::string nodeCommand() {
  const char *command = std::getenv("KIMIC_NODE");
  return command && *command ? command : "node";
}

static Failure nodeMissing(const std::string &command, int error) {
  return Failure(ExitCode::Failure, "Node.js is needed to run WebAssembly kernels, but '" + command +
                                        "' does not start: " + std::strerror(error) +
                                        " (install it, name it in KIMIC_NODE, or use --integrity-only)");
}

NodeProcess::NodeProcess(const char *script) {
  std::signal(SIGPIPE, SIG_IGN); // a script that ends early is an error of write(), not our end
  int input[2], output[2];
  if (::pipe2(input, O_CLOEXEC) != 0 || ::pipe2(output, O_CLOEXEC) != 0)
    throw Failure(ExitCode::Failure, std::string("no pipe to Node: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);

  std::string command = nodeCommand(), type = "--input-type=module", eval = "-e", text = script;
  char *arguments[] = {command.data(), type.data(), eval.data(), text.data(), nullptr};
  pid_t process = -1;
  int error = ::posix_spawnp(&process, command.c_str(), &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(input[0]);
  ::close(output[1]);
  if (error != 0) {
    ::close(input[1]);
    ::close(output[0]);
    throw nodeMissing(command, error);
  }
  process_ = process;
  input_ = input[1];
  output_ = output[0];
  reader_ = std::thread([this] {
    char chunk[1 << 12];
    for (ssize_t got; (got = ::read(output_, chunk, sizeof chunk)) > 0 || (got < 0 && errno == EINTR);)
      if (got > 0)
        printed_.append(chunk, static_cast<std::size_t>(got));
  });
}

int NodeProcess::wait() {
  if (input_ >= 0)
    ::close(input_);
  input_ = -1;
  if (reader_.joinable())
    reader_.join();
  ::close(output_);
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR)
    ;
  process_ = -1;
  return status;
}

NodeProcess::~NodeProcess() {
  if (process_ < 0)
    return;
  ::kill(process_, SIGTERM);
  wait();
}

void NodeProcess::failed(int status) {
  if (isInterrupted())
    throw Failure(ExitCode::Interrupted, "interrupted");
  throw Failure(ExitCode::Failure, WIFSIGNALED(status)
                                       ? "Node was ended by signal " + std::to_string(WTERMSIG(status))
                                       : "Node failed with exit code " + std::to_string(WEXITSTATUS(status)));
}

void NodeProcess::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(input_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      failed(wait());
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::vector<std::string> NodeProcess::finish() {
  if (int status = wait(); status != 0)
    failed(status);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < printed_.size();) {
    std::size_t end = printed_.find('\n', begin);
    end = end == std::string::npos ? printed_.size() : end;
    lines.push_back(printed_.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

} // namespace kimic::tool
