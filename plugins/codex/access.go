package main

import "os"

// Variables that the CLI, or its provider in our configuration, understands.
const (
	envCodexKey  = "CODEX_API_KEY"
	envOpenAIKey = "OPENAI_API_KEY"
	envBaseURL   = "OPENAI_BASE_URL"
	envHome      = "CODEX_HOME"
)

// access is how the model server is reached.
type access struct {
	// keyVariable names the granted variable that holds an API key; empty: the
	// login that the CLI keeps is used.
	keyVariable string
	// baseURL of the model server; empty: the CLI's own.
	baseURL string
	// userHome is the user's own CODEX_HOME.
	userHome string
}

func newAccess(granted map[string]string) access {
	a := access{baseURL: granted[envBaseURL], userHome: granted[envHome]}
	for _, name := range []string{envCodexKey, envOpenAIKey} {
		if granted[name] != "" {
			a.keyVariable = name
			break
		}
	}
	if a.userHome == "" {
		if home, err := os.UserHomeDir(); err == nil {
			a.userHome = home + "/.codex"
		}
	}
	return a
}

// needsLogin says that the CLI's own login is used. A server of one's own gets no
// login: without a key it is asked without one.
func (a access) needsLogin() bool { return a.keyVariable == "" && a.baseURL == "" }

// openAI is where an API key without a base URL is good for.
const openAI = "https://api.openai.com/v1"

// provider is the CLI's description of a model server. Retries are ours to
// decide: after a part of the answer the CLI would send it once more.
func (a access) provider(websockets bool) []setting {
	// To a provider of this name the CLI sends things of its own that other servers
	// need not know.
	name := "OpenAI"
	if a.baseURL != "" {
		name = "clinvk"
	}
	p := []setting{{"name", name}, {"wire_api", "responses"}}
	switch {
	case a.needsLogin():
		p = append(p, setting{"requires_openai_auth", true})
	case a.baseURL == "":
		p = append(p, setting{"base_url", openAI})
	default:
		p = append(p, setting{"base_url", a.baseURL})
	}
	if a.keyVariable != "" {
		p = append(p, setting{"env_key", a.keyVariable})
	}
	return append(p,
		setting{"request_max_retries", 0}, setting{"stream_max_retries", 0},
		setting{"supports_websockets", websockets}, setting{"websocket_connect_timeout_ms", 3000},
	)
}
