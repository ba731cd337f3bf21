package wire

import (
	"encoding/json"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// Sampling are the fields of plugins.Sampling that Generation honours.
var Sampling = []string{
	"temperature", "top_p", "top_k", "max_output_tokens", "stop", "seed",
	"presence_penalty", "frequency_penalty", "reasoning_effort", "reasoning_tokens",
}

// Generation is the generationConfig of a request; nil fields are left to the CLI.
type Generation struct {
	Temperature        *float64        `json:"temperature,omitempty"`
	TopP               *float64        `json:"topP,omitempty"`
	TopK               *int64          `json:"topK,omitempty"`
	MaxOutputTokens    *int64          `json:"maxOutputTokens,omitempty"`
	StopSequences      []string        `json:"stopSequences,omitempty"`
	Seed               *int64          `json:"seed,omitempty"`
	PresencePenalty    *float64        `json:"presencePenalty,omitempty"`
	FrequencyPenalty   *float64        `json:"frequencyPenalty,omitempty"`
	ResponseMimeType   string          `json:"responseMimeType,omitempty"`
	ResponseJSONSchema json.RawMessage `json:"responseJsonSchema,omitempty"`
	Thinking           *Thinking       `json:"thinkingConfig,omitempty"`
}

// Thinking bounds the model's reasoning: Gemini 2.5 takes a budget in tokens,
// later models a level.
type Thinking struct {
	Budget *int64 `json:"thinkingBudget,omitempty"`
	Level  string `json:"thinkingLevel,omitempty"`
}

// NewGeneration makes the generation settings of a turn to a model.
func NewGeneration(model string, s plugins.Sampling, schema json.RawMessage) Generation {
	g := Generation{
		Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MaxOutputTokens: s.MaxOutputTokens,
		StopSequences: s.Stop, Seed: s.Seed, PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty,
		Thinking: thinking(model, s.ReasoningEffort, s.ReasoningTokens),
	}
	if len(schema) > 0 {
		g.ResponseMimeType = "application/json"
		if !(&plugins.Turn{OutputSchema: schema}).AnyObject() { // that is what the type alone asks for
			g.ResponseJSONSchema = schema
		}
	}
	return g
}

// Empty says that nothing is set.
func (g Generation) Empty() bool {
	b, err := json.Marshal(g)
	return err == nil && string(b) == "{}"
}

// budgets are the tokens that Google's own OpenAI dialect gives each effort.
var budgets = map[string]int64{"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}

// thinking maps effort and tokens to what the model takes; nil: the CLI's own.
func thinking(model, effort string, tokens *int64) *Thinking {
	budget, known := budgets[effort]
	if tokens != nil {
		budget, known = *tokens, true
	}
	if !known {
		if effort == "" {
			return nil
		}
		return &Thinking{Level: strings.ToUpper(effort)} // a word of the model's own
	}
	if takesBudget(model) {
		if strings.Contains(model, "2.5-pro") {
			budget = max(budget, 128) // this model cannot do without
		}
		return &Thinking{Budget: &budget}
	}
	return &Thinking{Level: level(budget)}
}

func takesBudget(model string) bool {
	return strings.Contains(model, "gemini-2") || strings.Contains(model, "gemini-1")
}

// level is the thinking level that comes closest to a budget.
func level(budget int64) string {
	switch {
	case budget <= 0:
		return "MINIMAL"
	case budget <= 1024:
		return "LOW"
	case budget <= 8192:
		return "MEDIUM"
	}
	return "HIGH"
}
