package mcp_test

import (
	"fmt"

	"github.com/cedargate/cedargate/pkg/mcp"
)

func ExampleParse() {
	h := mcp.HTTP{
		Method: "POST",
		Header: []mcp.Field{{Name: "content-type", Value: "application/json"}},
		Body:   []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query","Name":"drop"}}`),
		Size:   -1,
	}
	_, fault := mcp.Parse(h, mcp.Rules{})
	fmt.Println(fault.Reason, fault.Code, fault.Detail)

	h.Body = []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query"}}`)
	call, _ := mcp.Parse(h, mcp.Rules{})
	fmt.Println(call.Questions[0].Action, call.Questions[0].Name)
	// Output:
	// malformed -32600 look-alike members
	// tools/call query
}

func ExampleCanonicalURI() {
	for _, sent := range []string{"FILE:///srv/priv%c3%a9", "file:///srv/../etc"} {
		u, err := mcp.CanonicalURI(sent, mcp.Rules{})
		fmt.Println(u.Canonical, u.Dirs, err)
	}
	// Output:
	// file:///srv/priv%C3%A9 [file:/// file:///srv/ file:///srv/priv%C3%A9/] <nil>
	//  [] dot segment
}
