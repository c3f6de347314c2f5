import { Chat, useChat } from "@ai-sdk/react";
import { generateId } from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

// The same chat after a reload.
location.hash ||= generateId();
// useChat of version 6 repeats text after a lost connection, unless it is given the Chat.
const chat = new Chat({ id: location.hash.slice(1) });

function Page() {
  const { messages, sendMessage, status, stop, error } = useChat({ chat, resume: true });
  const [question, setQuestion] = useState("");

  function ask(event) {
    event.preventDefault();
    sendMessage({ text: question });
    setQuestion("");
  }

  // useChat's own stop only ends this page's reading.
  async function stopForAll() {
    await fetch(`/api/chat/${chat.id}/stop`, { method: "POST" });
    stop();
  }

  return (
    <>
      {messages.map((message) => (
        <p key={message.id} className={message.role}>
          {message.parts.map((part) => part.text)}
        </p>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <form onSubmit={ask}>
        <input aria-label="Question" value={question} onChange={(event) => setQuestion(event.target.value)} />
        {status === "ready" || status === "error" ? (
          <button>Ask</button>
        ) : (
          <button type="button" onClick={stopForAll}>Stop</button>
        )}
      </form>
      <output>{status}</output>
    </>
  );
}

createRoot(document.querySelector("main")).render(<Page />);
