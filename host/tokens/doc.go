// Package tokens estimates how many tokens a text has, for backends whose CLI does
// not tell. It counts with the vocabulary o200k_base of OpenAI's newer models;
// those of other providers are near it for most languages, and no more than that.
package tokens
