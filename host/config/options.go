package config

// optionAllowedTools is the option of plugins that backends.NAME.allowed_tools stands
// for.
const optionAllowedTools = "allowed_tools"
