package engine

// bytesPerToken is the usual rule of thumb for English text.
const bytesPerToken = 4

// tally counts what goes out, and makes up for usage that the backend does not tell:
// clients add it up, and an answer that cost nothing would be the worse guess.
func (x *Execution) tally(ev Event) {
	switch v := ev.(type) {
	case *TextDelta:
		x.said += len(v.Text)
	case *ReasoningDelta:
		x.said += len(v.Text)
	case *ToolCallDelta:
		x.said += len(v.Arguments)
	case *Completed:
		v.Usage = v.Usage.orEstimate(x.turn, x.said)
	}
}

// orEstimate fills in what is unknown of the tokens that were read and written.
func (u Usage) orEstimate(t *Turn, said int) Usage {
	if u.OutputTokens == nil {
		u.OutputTokens, u.Estimated = tokensOf(said), true
	}
	if u.InputTokens == nil {
		u.InputTokens, u.Estimated = tokensOf(promptBytes(t)), true
	}
	return u
}

func tokensOf(bytes int) *int64 {
	n := int64(bytes+bytesPerToken-1) / bytesPerToken
	return &n
}

// promptBytes is how much text a turn sends.
func promptBytes(t *Turn) int {
	n := len(t.System)
	var walk func(parts []Part)
	walk = func(parts []Part) {
		for _, p := range parts {
			switch v := p.(type) {
			case Text:
				n += len(v)
			case ToolCall:
				n += len(v.Arguments)
			case ToolResult:
				walk(v.Parts)
			}
		}
	}
	for _, m := range t.Messages {
		walk(m.Parts)
	}
	return n
}
