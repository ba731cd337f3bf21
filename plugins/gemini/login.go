package main

import (
	"os"
	"path/filepath"
	"regexp"
)

// loginKind is how the CLI gets to the model, in the CLI's own words.
type loginKind string

const (
	noLogin     loginKind = ""
	loginKey    loginKind = "gemini-api-key"
	loginVertex loginKind = "vertex-ai"
	loginGoogle loginKind = "oauth-personal"
)

const (
	loginCommand = "gemini"
	notLoggedIn  = "not logged in to the Gemini CLI: run `gemini` and log in, or set GEMINI_API_KEY"
)

// environment are the variables that the CLI can use.
var environment = []string{
	"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL",
	"GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID", "GOOGLE_CLOUD_LOCATION", "GOOGLE_APPLICATION_CREDENTIALS",
	"GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_API_VERSION", "GEMINI_API_KEY_AUTH_MECHANISM",
	"GOOGLE_GENAI_USE_GCA", "GOOGLE_CLOUD_ACCESS_TOKEN", "CODE_ASSIST_ENDPOINT",
	"GEMINI_CLI_CUSTOM_HEADERS", "GEMINI_CLI_HOME", "GEMINI_MODEL",
}

// credentials are the files in which the CLI keeps a login. They are never opened
// here: their presence counts, and a private home of the CLI links to them.
var credentials = []string{"oauth_creds.json", "gemini-credentials.json"}

type login struct{ kind loginKind }

// exact says that the CLI lets settings replace its request's body.
func (l login) exact() bool { return l.kind != loginGoogle }

// findLogin says which login the CLI would use. A base URL alone is none: a gateway
// that needs no key is told by any key.
func findLogin(env map[string]string) login {
	switch {
	case env["GOOGLE_GENAI_USE_GCA"] == "true" && env["GOOGLE_CLOUD_ACCESS_TOKEN"] != "":
		return login{loginGoogle}
	case env["GOOGLE_GENAI_USE_VERTEXAI"] == "true":
		return login{loginVertex}
	case env["GEMINI_API_KEY"] != "":
		return login{loginKey}
	case env["GOOGLE_API_KEY"] != "", env["GOOGLE_APPLICATION_CREDENTIALS"] != "" && env["GOOGLE_CLOUD_PROJECT"] != "":
		return login{loginVertex}
	}
	for _, name := range credentials {
		if _, err := os.Stat(filepath.Join(userState(env), name)); err == nil {
			return login{chosen(env)}
		}
	}
	return login{}
}

// userState is the directory in which the user's CLI keeps its state.
func userState(env map[string]string) string {
	home := env["GEMINI_CLI_HOME"]
	if home == "" {
		home, _ = os.UserHomeDir() // without one there is no login
	}
	return filepath.Join(home, ".gemini")
}

var selectedType = regexp.MustCompile(`"selected(?:Auth)?Type"\s*:\s*"([a-z-]+)"`)

// chosen is the kind of login that the user has chosen in the CLI.
func chosen(env map[string]string) loginKind {
	b, err := os.ReadFile(filepath.Join(userState(env), "settings.json"))
	if err != nil {
		return loginGoogle
	}
	if m := selectedType.FindSubmatch(b); m != nil {
		if kind := loginKind(m[1]); kind == loginKey || kind == loginVertex {
			return kind
		}
	}
	return loginGoogle
}

// loginLinks are the files that make up the user's login.
func loginLinks(env map[string]string) []string {
	return inUserState(env, append([]string{"google_accounts.json", "installation_id"}, credentials...)...)
}

// userLinks are what the user keeps for the agent.
func userLinks(env map[string]string) []string {
	return inUserState(env, "GEMINI.md", "commands", "skills", "agents", "policies", "extensions")
}

func inUserState(env map[string]string, names ...string) []string {
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, filepath.Join(userState(env), name))
	}
	return out
}
