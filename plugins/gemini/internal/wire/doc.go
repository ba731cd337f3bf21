// Package wire is the Gemini API's request and response as the Gemini CLI takes
// and keeps them in files: the body of a request, a seeded session, and the record
// of responses.
package wire
