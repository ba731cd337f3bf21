package host

// vendorVariables are those of the server's environment that bundled plugins get
// for the CLI that they drive. Any other plugin gets what the configuration gives
// it (backends.NAME.env) or an approval names, and nothing else.
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
