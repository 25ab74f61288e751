package mcp_test

import (
	"strings"

	"github.com/cedargate/cedargate/pkg/mcp"
)

// post is a POST with a body of JSON and further headers, name and value in
// turn.
func post(body string, headers ...string) mcp.HTTP {
	return request("POST", body, append([]string{"content-type", "application/json"}, headers...)...)
}

func request(method, body string, headers ...string) mcp.HTTP {
	h := mcp.HTTP{Method: method, Body: []byte(body), Size: -1}
	for i := 0; i < len(headers); i += 2 {
		h.Header = append(h.Header, mcp.Field{Name: headers[i], Value: headers[i+1]})
	}
	return h
}

// message is a request with id 1.
func message(method, params string) string {
	if params == "" {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `"}`
	}
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

// asked writes questions as "action" or "action Target name", one after another
// with "; " between.
func asked(call mcp.Call) string {
	var all []string
	for _, q := range call.Questions {
		s := q.Action
		switch q.Target {
		case mcp.OnTool:
			s += " Tool " + q.Name
		case mcp.OnPrompt:
			s += " Prompt " + q.Name
		case mcp.OnResource:
			s += " Resource " + q.URI.Canonical
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

// reason writes a fault as "reason: detail", "" when there is none.
func reason(f *mcp.Fault) string {
	if f == nil {
		return ""
	}
	return f.Reason + ": " + f.Detail
}
