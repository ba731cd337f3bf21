// Package schema holds texts against a JSON Schema: it says whether an answer matches,
// in bounded time, what a provider takes for the schema, and what a model is told of it.
package schema
