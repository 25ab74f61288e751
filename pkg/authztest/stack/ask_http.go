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

	"github.com/cedargate/cedargate/pkg/authztest/corpus"
)

// AskHTTP sends the request of a case to the proxy at address over HTTP/1.1,
// byte for byte: no client library cleans it up. executed returns what the
// server behind the proxy got meanwhile, and forgets it.
func AskHTTP(address string, executed func() []Request) corpus.Asker {
	return func(ctx context.Context, s corpus.Sent) (corpus.Answer, error) {
		executed()
		response, body, err := exchange(ctx, address, rawRequest(s), s.HTTP.Method)
		if err != nil {
			return corpus.Answer{}, err
		}
		a := corpus.Answer{Status: response.StatusCode, Header: response.Header, Body: body}
		for _, r := range executed() {
			a.Allowed, a.Upstream = true, r.Header
			a.Executed = append(a.Executed, r.Body)
		}
		return a, nil
	}
}

func rawRequest(s corpus.Sent) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", s.HTTP.Method, s.Path, s.Host)
	for _, f := range s.HTTP.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
	}
	if via := s.Via(); via != "" {
		fmt.Fprintf(&b, "%s: %s\r\n", corpus.ViaHeader, via)
	}
	b.WriteString("Connection: close\r\n\r\n")
	b.Write(s.HTTP.Body)
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
