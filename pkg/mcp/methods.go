package mcp

import "strings"

// An about says what a request method is about, and so which member of params
// it requires.
type about byte

const (
	aboutServer   about = iota
	aboutTool           // name
	aboutPrompt         // name
	aboutResource       // uri
	aboutRef            // ref: a prompt or a resource
	aboutTask           // taskId
	aboutListen         // notifications
)

// A method is one request method that clients send. Its Cedar action has the
// same name.
type method struct {
	about about
	// removed says that the revision 2026-07-28 has the method no longer.
	removed bool
	// named says that this revision requires Mcp-Name on it (SEP-2243, SEP-2663).
	named bool
}

var methods = map[string]method{
	"initialize":               {removed: true},
	"server/discover":          {},
	"ping":                     {removed: true},
	"logging/setLevel":         {removed: true},
	"tools/list":               {},
	"tools/call":               {about: aboutTool, named: true},
	"prompts/list":             {},
	"prompts/get":              {about: aboutPrompt, named: true},
	"resources/list":           {},
	"resources/templates/list": {},
	"resources/read":           {about: aboutResource, named: true},
	"resources/subscribe":      {about: aboutResource, removed: true},
	"resources/unsubscribe":    {about: aboutResource, removed: true},
	"completion/complete":      {about: aboutRef},
	"subscriptions/listen":     {about: aboutListen},
	"tasks/get":                {about: aboutTask, named: true},
	"tasks/update":             {about: aboutTask, named: true},
	"tasks/cancel":             {about: aboutTask, named: true},
	"tasks/result":             {about: aboutTask, removed: true},
	"tasks/list":               {removed: true},
}

// member is the member of params that a method is about; "" when it has none.
func (m method) member() string {
	switch m.about {
	case aboutTool, aboutPrompt:
		return "name"
	case aboutResource:
		return "uri"
	case aboutRef:
		return "ref"
	case aboutTask:
		return "taskId"
	}
	return ""
}

// The Cedar actions that no single method names.
const (
	actionNotifications = "notifications"
	actionResponses     = "responses"
	actionUnknown       = "unknown"
	actionStreamGet     = "stream/get"
	actionStreamResume  = "stream/resume"
	actionSessionDelete = "session/delete"
)

// clientNotification tells whether method is a notification that clients send.
// Some send one with an id in their handshake.
func clientNotification(method string) bool {
	kind, ok := strings.CutPrefix(method, "notifications/")
	if !ok {
		return false
	}
	switch kind {
	case "initialized", "cancelled", "progress", "roots/list_changed", "tasks/status":
		return true
	}
	return false
}

// serverOnly tells whether only servers send method.
func serverOnly(method string) bool {
	switch method {
	case "sampling/createMessage", "elicitation/create", "roots/list",
		"notifications/message",
		"notifications/resources/updated",
		"notifications/resources/list_changed",
		"notifications/tools/list_changed",
		"notifications/prompts/list_changed",
		"notifications/subscriptions/acknowledged",
		"notifications/tasks",
		"notifications/elicitation/complete":
		return true
	}
	return false
}
