// kimic completions: scripts for shells, made from the same option table that parses the command line.
#include "compiler/tools/kimic/Command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fmt/format.h>
#include <memory>

namespace kimic::tool {

namespace {

struct OptionFacts {
  std::vector<std::string> names; ///< "--json", "-j"
  std::string description;        ///< first line
  bool takesValue;
};

struct CommandFacts {
  std::string name, description;
  std::vector<OptionFacts> options;
};

std::vector<OptionFacts> optionsOf(const CLI::App &app) {
  std::vector<OptionFacts> facts;
  for (const CLI::Option *option : app.get_options()) {
    OptionFacts entry{{}, option->get_description(), option->get_items_expected_max() > 0};
    for (const std::string &name : option->get_snames())
      entry.names.push_back("-" + name);
    for (const std::string &name : option->get_lnames())
      entry.names.push_back("--" + name);
    entry.description = entry.description.substr(0, entry.description.find('\n'));
    if (!entry.names.empty())
      facts.push_back(std::move(entry));
  }
  return facts;
}

std::vector<CommandFacts> commandsOf(const CLI::App &app) {
  std::vector<CommandFacts> facts;
  for (const CLI::App *command : app.get_subcommands([](const CLI::App *) { return true; }))
    facts.push_back({command->get_name(), command->get_description(), optionsOf(*command)});
  return facts;
}

/// In single quotes, for any of the shells.
std::string quoted(const std::string &text) {
  std::string out = "'";
  for (char c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string words(const std::vector<OptionFacts> &options) {
  std::string out;
  for (const OptionFacts &option : options)
    for (const std::string &name : option.names)
      out += (out.empty() ? "" : " ") + name;
  return out;
}

std::string bash(const CLI::App &app) {
  std::string names, cases;
  for (const CommandFacts &command : commandsOf(app)) {
    names += (names.empty() ? "" : " ") + command.name;
    cases += fmt::format("    {}) words={} ;;\n", command.name, quoted(words(command.options)));
  }
  return fmt::format(R"sh(# bash completion for kimic: eval "$(kimic completions bash)"
_kimic() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words={}
  case ${{COMP_WORDS[1]}} in
{}  esac
  if [[ $COMP_CWORD -gt 1 && $current != -* ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
  else
    [[ $COMP_CWORD -eq 1 ]] && words={}
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}}
complete -o filenames -F _kimic kimic
)sh",
                     quoted(words(optionsOf(app))), cases, quoted(names + " " + words(optionsOf(app))));
}

std::string zsh(const CLI::App &app) {
  // Descriptions stand behind a colon and in brackets, so neither may occur in them.
  auto plain = [](std::string text) {
    std::replace(text.begin(), text.end(), ':', ',');
    std::replace(text.begin(), text.end(), '[', '(');
    std::replace(text.begin(), text.end(), ']', ')');
    return text;
  };
  std::string commands, cases;
  for (const CommandFacts &command : commandsOf(app)) {
    commands += fmt::format("    {}\n", quoted(command.name + ":" + plain(command.description)));
    cases += fmt::format("    {}) _arguments", command.name);
    for (const OptionFacts &option : command.options)
      for (const std::string &name : option.names)
        cases +=
            " " + quoted(name + "[" + plain(option.description) + "]" + (option.takesValue ? ":value:_files" : ""));
    cases += " '*:file:_files' ;;\n";
  }
  return fmt::format(R"sh(#compdef kimic
# zsh completion for kimic: kimic completions zsh > a file _kimic in a folder of $fpath
_kimic() {{
  local -a commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
{}  esac
}}
compdef _kimic kimic
)sh",
                     commands, cases);
}

std::string fish(const CLI::App &app) {
  std::string out = "# fish completion for kimic: kimic completions fish | source\n";
  for (const CommandFacts &command : commandsOf(app)) {
    out += fmt::format("complete -c kimic -n __fish_use_subcommand -f -a {} -d {}\n", command.name,
                       quoted(command.description));
    for (const OptionFacts &option : command.options) {
      out += fmt::format("complete -c kimic -n '__fish_seen_subcommand_from {}'", command.name);
      for (const std::string &name : option.names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      out += fmt::format("{} -d {}\n", option.takesValue ? " -r" : "", quoted(option.description));
    }
  }
  return out;
}

} // namespace

void addCompletions(CLI::App &app, Context &context) {
  CLI::App *command = app.add_subcommand("completions", "Print a completion script for a shell");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}).description(""));
  command->callback([shell, &app, &context] {
    context.run = [shell, &app] {
      std::string script = *shell == "bash" ? bash(app) : *shell == "zsh" ? zsh(app) : fish(app);
      std::fputs(script.c_str(), stdout);
    };
  });
}

} // namespace kimic::tool
