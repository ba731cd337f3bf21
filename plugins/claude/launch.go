package main

import (
	"fmt"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// Variables that are looked at here; what the operator grants reaches the CLI anyway.
const (
	envAPIKey    = "ANTHROPIC_API_KEY"    //nolint:gosec // a name, no secret
	envAuthToken = "ANTHROPIC_AUTH_TOKEN" //nolint:gosec // a name, no secret
	envConfigDir = "CLAUDE_CONFIG_DIR"
	envThinking  = "CLAUDE_CODE_DISABLE_THINKING"
	// envAttachments keeps "@file" in a text from being read, and much else out.
	envAttachments = "CLAUDE_CODE_DISABLE_ATTACHMENTS"
	envExtraBody   = "CLAUDE_CODE_EXTRA_BODY"
	// envMaxTokens bounds an answer; the CLI sends no more than the model can write.
	envMaxTokens = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"
)

// defaultModel is the CLI's own name for what it takes by default.
const defaultModel = "default"

// streamArguments make the CLI a server on its standard streams.
var streamArguments = []string{
	"-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
	wire.LogFlag,
}

// commonEnvironment is what every process gets: no telemetry, no updates, no
// requests besides the turn's, no second attempt that would repeat text, and one
// retry at most, see retry.go. The log is for failures, see wire.Log.
func commonEnvironment() map[string]string {
	env := map[string]string{
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC":             "1",
		"DISABLE_TELEMETRY":                                    "1",
		"DISABLE_ERROR_REPORTING":                              "1",
		"DISABLE_AUTOUPDATER":                                  "1",
		"CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK":            "1",
		"CLAUDE_CODE_DISABLE_REFUSAL_RETRY":                    "1",
		"CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK":                 "1",
		"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS":                 "1",
		"CLAUDE_CODE_MAX_RETRIES":                              strconv.Itoa(maxRetries),
		"CLAUDE_CODE_DISABLE_FEEDBACK_SURVEY":                  "1",
		"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
	}
	maps.Copy(env, wire.LogEnvironment())
	return env
}

// secrets are the granted values that must not show in a log.
func (b *backend) secrets() []string {
	var out []string
	for name, value := range b.config.Environment {
		if strings.Contains(name, "KEY") || strings.Contains(name, "TOKEN") || strings.Contains(name, "HEADERS") {
			out = append(out, value)
		}
	}
	return out
}

// keyed says that the credentials are in the environment, so that nothing of the
// user's home is needed.
func (b *backend) keyed() bool {
	return b.config.Environment[envAPIKey] != "" || b.config.Environment[envAuthToken] != ""
}

// chatLaunch starts a process that is nothing but the model: no tools, no
// settings, hooks, servers or memory files of the user, nothing kept.
//
// With a key in the environment the configuration directory is the process's own and the
// CLI runs in its bare mode, in which it adds nothing to a conversation (2.1.197:
// a reminder of the date, for which it has no switch). With the user's login
// neither is possible: bare mode ignores logins, and the login is in the user's
// directory; then newer releases add a reminder of the system and the date too.
func (b *backend) chatLaunch() launch {
	l := launch{
		args: slices.Concat(streamArguments, []string{
			"--tools=", "--setting-sources=", "--strict-mcp-config", "--no-session-persistence",
			"--disable-slash-commands", "--permission-mode", "dontAsk", "--max-turns", "1", "--model", defaultModel,
		}),
		env: map[string]string{
			envAttachments:                    "1",
			"CLAUDE_CODE_DISABLE_CLAUDE_MDS":  "1",
			"CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
			"CLAUDE_CODE_ATTRIBUTION_HEADER":  "0",
			"DISABLE_AUTO_COMPACT":            "1",
			"ENABLE_TOOL_SEARCH":              "false",
			envThinking:                       "1", // until the caller asks for it
			// What is too long is the provider's to say, not the CLI's to guess.
			"CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE": "1000000000",
		},
	}
	if b.keyed() {
		l.args = append(l.args, "--bare")
		if b.config.Environment[envConfigDir] == "" {
			l.ownConfig = true
		}
	}
	return l
}

// launchOf is how the process of a turn is started.
func (b *backend) launchOf(turn *plugins.Turn, anew bool) (launch, error) {
	if turn.Mode == plugins.ModeAgent {
		return b.agentLaunch(turn, b.open(turn, anew))
	}
	if len(turn.ExtraArguments) > 0 {
		return launch{}, plugins.Errorf(plugins.CodeInvalidRequest, "flags for the CLI may be set in agent mode only")
	}
	return b.chatLaunch(), nil
}

// agentLaunch starts a process with the CLI's own tools and the user's own
// configuration in the turn's directory.
func (b *backend) agentLaunch(turn *plugins.Turn, o opening) (launch, error) {
	l := launch{
		args: slices.Concat(streamArguments, o.arguments(), []string{
			"--permission-prompt-tool", "stdio", "--permission-mode", permissionMode(turn),
		}),
		dir:     turn.WorkingDir,
		agent:   true,
		session: o.id,
		begins:  o.id != "" && (o.from == "" || o.fork),
		held:    o.held,
	}
	if o.id != "" && o.from == "" {
		l.held = answeredIn(turn.Messages)
		l.history = turn.Messages[:l.held]
	}
	model := turn.Model
	if model == "" {
		model = defaultModel
	}
	l.args = append(l.args, "--model="+model)
	if turn.MaxSteps > 0 {
		l.args = append(l.args, "--max-turns", strconv.Itoa(turn.MaxSteps))
	}
	switch turn.Sandbox { //nolint:exhaustive // the others set nothing
	case plugins.SandboxReadOnly:
		l.args = append(l.args, "--tools=Read,Grep,Glob")
	case plugins.SandboxWorkspace:
		if err := sandboxAvailable(); err != nil {
			return launch{}, err
		}
		l.args = append(l.args, "--settings", workspaceSettings)
	}
	if len(b.settings.AllowedTools) > 0 && turn.Sandbox != plugins.SandboxReadOnly {
		l.args = append(l.args, "--allowedTools="+strings.Join(b.settings.AllowedTools, ","))
	}
	extra, err := extraArguments(turn.ExtraArguments)
	l.args = append(l.args, extra...)
	return l, err
}

// permissionMode is the CLI's mode in which the fewest questions come that would
// be answered with yes anyway; see allowed for the answers.
func permissionMode(turn *plugins.Turn) string {
	if turn.Approval == plugins.ApprovalAuto || turn.Sandbox == plugins.SandboxWorkspace && turn.Approval != plugins.ApprovalAlways {
		return "acceptEdits"
	}
	return "default"
}

// workspaceSettings confine the CLI's shell to the working directory; without the
// sandbox's programs the CLI must not start.
const workspaceSettings = `{"sandbox":{"enabled":true,"failIfUnavailable":true,"autoAllowBashIfSandboxed":true,"allowUnsandboxedCommands":false}}`

// sandboxAvailable says what is missing before the CLI would.
func sandboxAvailable() error {
	if runtime.GOOS != "linux" {
		return nil // macOS has its own; elsewhere the CLI refuses to start
	}
	for _, program := range []string{"bwrap", "socat"} {
		if _, err := exec.LookPath(program); err != nil {
			return plugins.Errorf(plugins.CodeUnsupported,
				"sandbox mode workspace needs the program %s: install bubblewrap and socat, or choose another sandbox mode", program)
		}
	}
	return nil
}

// allowedFlags are the CLI's flags that a request may set: none of them widens
// what the CLI may do.
var allowedFlags = []string{"--disallowedTools", "--disallowed-tools", "--max-budget-usd", "--fallback-model", "--agent"}

// extraArguments checks flags of the form --flag=value or --flag value.
func extraArguments(args []string) ([]string, error) {
	var out []string
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if !slices.Contains(allowedFlags, name) {
			return nil, plugins.Errorf(plugins.CodeInvalidRequest, "the flag %q may not be set; allowed are %s", name, strings.Join(allowedFlags, ", "))
		}
		if !joined {
			i++
			if i >= len(args) {
				return nil, plugins.Errorf(plugins.CodeInvalidRequest, "the flag %s needs a value", name)
			}
			value = args[i]
		}
		if value == "" {
			return nil, plugins.Errorf(plugins.CodeInvalidRequest, "the flag %s needs a value", name)
		}
		out = append(out, fmt.Sprintf("%s=%s", name, value))
	}
	return out, nil
}
