package engine

// TokenCount is how many tokens a turn would send.
type TokenCount struct {
	Input int64
	// Backend that would answer.
	Backend string
	// Estimated says that nobody who knows the model's vocabulary has counted.
	Estimated bool
}
