package host

import "slices"

// vendorVariables are those of the server's environment that the plugins of this
// project get for the CLI that they drive. Any other plugin gets what the
// configuration gives it (backends.NAME.env) and nothing else.
var vendorVariables = map[string][]string{
	"claude": {
		"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR",
	},
	"codex": {"OPENAI_API_KEY", "CODEX_API_KEY", "OPENAI_BASE_URL", "CODEX_HOME"},
	"gemini": {
		"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID",
		"GOOGLE_CLOUD_LOCATION", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA", "GOOGLE_VERTEX_BASE_URL",
		"GOOGLE_APPLICATION_CREDENTIALS",
	},
}

// granted says whether a backend gets a variable of the server's environment that
// its plugin asks for.
func granted(backend, variable string) bool {
	return slices.Contains(vendorVariables[backend], variable)
}
