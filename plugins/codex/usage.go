package main

import "github.com/clinvk/clinvk/plugins"

// tokenUsage is the CLI's count for a thread.
type tokenUsage struct {
	Input      int64 `json:"inputTokens"`
	CacheRead  int64 `json:"cachedInputTokens"`
	CacheWrite int64 `json:"cacheWriteInputTokens"`
	Output     int64 `json:"outputTokens"`
	Reasoning  int64 `json:"reasoningOutputTokens"`
}

// since is what was used after before.
func (u tokenUsage) since(before tokenUsage) tokenUsage {
	return tokenUsage{
		Input: u.Input - before.Input, CacheRead: u.CacheRead - before.CacheRead, CacheWrite: u.CacheWrite - before.CacheWrite,
		Output: u.Output - before.Output, Reasoning: u.Reasoning - before.Reasoning,
	}
}

func (u tokenUsage) plus(v tokenUsage) tokenUsage {
	return tokenUsage{
		Input: u.Input + v.Input, CacheRead: u.CacheRead + v.CacheRead, CacheWrite: u.CacheWrite + v.CacheWrite,
		Output: u.Output + v.Output, Reasoning: u.Reasoning + v.Reasoning,
	}
}

// report is the usage for the host. The CLI's input includes what was cached.
func (u tokenUsage) report() plugins.Usage {
	return plugins.Usage{
		InputTokens: &u.Input, OutputTokens: &u.Output,
		CacheReadTokens: &u.CacheRead, CacheWriteTokens: &u.CacheWrite, ReasoningTokens: &u.Reasoning,
	}
}
