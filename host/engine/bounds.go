package engine

import "unicode/utf8"

// Bounds of what a plugin can make the host keep for one turn, in bytes unless said
// otherwise. A million tokens are about 4 MB of text.
const (
	// maxAnswer is the most that is collected of an answer that is not streamed.
	maxAnswer = 4 << 20
	// maxArguments is the most that calls may hold that are not over.
	maxArguments = 2 << 20
	// maxCalls is how many calls an answer may have, and how many may be open.
	maxCalls = 1000
	// maxNotices is how many are collected with an answer that is not streamed.
	maxNotices = 100
	// maxStop is how long a stop sequence may be: they are words, not documents.
	maxStop = 1 << 10
	// pieceSize is that of the pieces that longer text is handed on in, so that what
	// is made of one event is never much.
	pieceSize = 64 << 10
	// partSize is what a part costs besides its text.
	partSize = 64
)

// piece cuts a first piece off a text, between code points.
func piece(text string) (first, rest string) {
	if len(text) <= pieceSize {
		return text, ""
	}
	cut := pieceSize
	for cut > pieceSize-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut], text[cut:]
}

// Size is about how many bytes an event keeps in memory.
func Size(ev Event) int {
	switch v := ev.(type) {
	case *TextDelta:
		return partSize + len(v.Text)
	case *ReasoningDelta:
		return partSize + len(v.Text) + len(v.Signature)
	case *ToolCallStarted:
		return partSize + len(v.ID) + len(v.Name)
	case *ToolCallDelta:
		return partSize + len(v.ID) + len(v.Arguments)
	case *ToolCallDone:
		return partSize + len(v.ID) + len(v.Name) + len(v.Arguments)
	case *ToolResultEvent:
		n := partSize + len(v.CallID) + len(v.Name)
		for _, p := range v.Parts {
			switch p := p.(type) {
			case Text:
				n += len(p)
			case Blob:
				n += len(p.Data) + len(p.Name)
			}
		}
		return n
	case *Notice:
		return partSize + len(v.Message)
	case *Started:
		return partSize + len(v.Model)
	case *Completed:
		return partSize + len(v.StopSequence) + len(v.Model) + len(v.SessionToken)
	}
	return partSize
}
