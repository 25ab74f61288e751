package stack

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A process is a child in a process group of its own.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr *lines
	ended          chan struct{} // closed when it has ended and its output is read
	stop           sync.Once
	killed         bool // written by stop
}

// start starts cmd and reads what it writes.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, stdout: newLines(), stderr: newLines(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	// A signal from the terminal is for us, who then stop the children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		// The outcome is read from ProcessState by exitCode.
		_ = cmd.Wait()
	}()
	return p, nil
}

// ready waits until probe succeeds or the process ends.
func (p *process) ready(ctx context.Context, probe func() error) error {
	err := until(ctx, func() error {
		select {
		case <-p.ended:
			return nil // no use in waiting
		default:
			return probe()
		}
	})
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended with code %d: %s", p.cmd.Path, p.exitCode(), p.stderr.tail())
	default:
	}
	if err != nil {
		return fmt.Errorf("%s is not ready: %w: %s", p.cmd.Path, err, p.stderr.tail())
	}
	return nil
}

// signal sends sig to the process and its children.
func (p *process) signal(sig syscall.Signal) error {
	select {
	case <-p.ended:
		return errors.New("process has ended")
	default:
		return syscall.Kill(-p.cmd.Process.Pid, sig)
	}
}

// close ends the process: SIGTERM, and SIGKILL after stopTime. Its error says
// that it did not end well.
func (p *process) close() error {
	p.stop.Do(func() {
		// A process that has just ended is what we want.
		_ = p.signal(syscall.SIGTERM)
		_ = p.signal(syscall.SIGCONT)
		select {
		case <-p.ended:
		case <-time.After(stopTime):
			p.killed = true
			_ = p.signal(syscall.SIGKILL)
			<-p.ended
		}
	})
	switch code := p.exitCode(); {
	case p.killed:
		return fmt.Errorf("%s did not stop within %v: %s", p.cmd.Path, stopTime, p.stderr.tail())
	case code != 0:
		return fmt.Errorf("%s ended with code %d: %s", p.cmd.Path, code, p.stderr.tail())
	}
	return nil
}

// exitCode waits for the end of the process; -1 means that a signal ended it.
func (p *process) exitCode() int {
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}
