package stack

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest/corpus"
)

// AskHTTP sends the request of a case to the proxy at address over HTTP/1.1,
// byte for byte: no client library cleans it up. Executed is what the server
// behind the proxy got meanwhile, which executed returns and forgets.
func AskHTTP(address string, executed func() [][]byte) corpus.Asker {
	return func(ctx context.Context, r authz.Request) (corpus.Answer, error) {
		executed()
		response, body, err := exchange(ctx, address, rawRequest(r), r.HTTP.Method)
		if err != nil {
			return corpus.Answer{}, err
		}
		a := corpus.Answer{Status: response.StatusCode, Header: response.Header, Body: body, Executed: executed()}
		a.Allowed = len(a.Executed) > 0
		return a, nil
	}
}

func rawRequest(r authz.Request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.HTTP.Method, r.Path, r.Host)
	for _, f := range r.HTTP.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
	}
	b.WriteString("Connection: close\r\n\r\n")
	b.Write(r.HTTP.Body)
	return b.Bytes()
}

// exchange sends raw and reads the response.
func exchange(ctx context.Context, address string, raw []byte, method string) (*http.Response, []byte, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write(raw); err != nil {
		return nil, nil, fmt.Errorf("sending: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the response: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}
