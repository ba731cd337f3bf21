// Package wire is the JSON that the dialects speak: values read one level at a
// time, whose errors name the field that is wrong, and values appended to a buffer
// without reflection.
package wire
