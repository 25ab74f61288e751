package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An attack is one file of testdata/attacks.
type attack struct {
	name   string
	why    string
	status int
	reason string // "-": Envoy refuses without a Check
	head   string // request line and header lines
	body   string
}

func loadAttacks(t *testing.T) []attack {
	t.Helper()
	names, err := filepath.Glob("../../../testdata/attacks/*.http")
	if err != nil || len(names) == 0 {
		t.Fatalf("Glob() = %v, %v, want attacks", names, err)
	}
	var attacks []attack
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		a, err := parseAttack(strings.TrimSuffix(filepath.Base(name), ".http"), string(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		attacks = append(attacks, a)
	}
	return attacks
}

func parseAttack(name, text string) (attack, error) {
	a := attack{name: name}
	why, rest, _ := strings.Cut(text, "\n")
	want, rest, _ := strings.Cut(rest, "\n")
	if _, err := fmt.Sscanf(want, "want: %d %s", &a.status, &a.reason); err != nil {
		return a, fmt.Errorf("second line is %q, want status and reason: %w", want, err)
	}
	var told, split bool
	a.why, told = strings.CutPrefix(why, "why: ")
	a.head, a.body, split = strings.Cut(rest, "\n\n")
	if !told || !split {
		return a, fmt.Errorf("no reason, or no empty line before the body")
	}
	a.body = strings.TrimSuffix(a.body, "\n")
	return a, nil
}

// bytes are what is sent: lines of the head end in CRLF, the body is as it is
// written, and ${…} is filled in. The agent is added as the last header.
func (a attack) bytes(agent string, tokens map[string]string) []byte {
	body := expand(a.body, tokens)
	head := strings.ReplaceAll(a.head, "${length}", strconv.Itoa(len(body)))
	head = expand(head, tokens) + "\nuser-agent: " + agent
	return []byte(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)
}

var placeholder = regexp.MustCompile(`\$\{([^{}]+)\}`)

// expand fills in ${NAME} of a token, ${crlf}, ${hex:…}, and ${TEXT*TIMES}.
func expand(text string, tokens map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(whole string) string {
		name := whole[2 : len(whole)-1]
		if token, ok := tokens[name]; ok {
			return token
		}
		if name == "crlf" {
			return "\r\n"
		}
		if digits, ok := strings.CutPrefix(name, "hex:"); ok {
			raw, err := hex.DecodeString(digits)
			if err == nil {
				return string(raw)
			}
		}
		if i := strings.LastIndexByte(name, '*'); i > 0 {
			if n, err := strconv.Atoi(name[i+1:]); err == nil {
				return strings.Repeat(name[:i], n)
			}
		}
		panic("unknown placeholder " + whole)
	})
}

// send sends raw to address and reads one final answer.
func send(t *testing.T, address string, raw []byte) answer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// Envoy may answer, and close, before it has read everything.
	_, _ = conn.Write(raw)
	method, _, _ := bytes.Cut(raw, []byte(" "))
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: string(method)})
		if err != nil {
			t.Fatalf("reading the answer to %.300q: %v", raw, err)
		}
		if resp.StatusCode >= 200 {
			return read(t, resp)
		}
	}
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the body of the answer: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// sendAll sends raw, which is several requests, and wants these answers.
func sendAll(t *testing.T, address, raw string, statuses ...int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for i, want := range statuses {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if got := read(t, resp); got.status != want {
			t.Errorf("answer %d has status %d, want %d: %s", i, got.status, want, got.body)
		}
	}
}
