package engine

import (
	"testing"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestLinksReachNoPlugin shows that a file that was not fetched is refused, also when
// nothing is known of the backend yet.
func TestLinksReachNoPlugin(t *testing.T) {
	link := Blob{MediaType: "image/png", URL: "https://example.com/a.png", Field: "image"}
	able := &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}, InputMediaTypes: []string{"image/png"}}
	for name, caps := range map[string]*backendv1.Capabilities{"unknown backend": nil, "known backend": able} {
		for where, part := range map[string]Part{"in a message": link, "in a result": ToolResult{CallID: "c", Parts: []Part{Text("r"), link}}} {
			t.Run(name+" "+where, func(t *testing.T) {
				f := newFakes(t)
				f.add("b", caps, script(started(), completed("")))
				_, err := New(Config{Backends: f}).Execute(t.Context(), &Turn{Model: "b", Messages: []Message{{RoleUser, []Part{part}}}})
				if e := AsError(err); e == nil || e.Code != CodeUnsupported || e.Param != "image" {
					t.Errorf("err = %v", err)
				}
			})
		}
	}
}
