export interface SessionList {
  readonly object: "list";
  readonly data: readonly {
    readonly object: "session";
    readonly session_id: string;
    readonly turns: number;
    readonly updated_at: string;
  }[];
}

/** What a conversation remembers, oldest first. */
export interface Session {
  readonly object: "session";
  readonly session_id: string;
  readonly turns: readonly {
    readonly question: string;
    readonly standalone_question: string;
    /** null: a document that it cites has been deleted. */
    readonly answer: string | null;
    readonly at: string;
  }[];
}

export interface DeletedSession {
  readonly object: "session.deleted";
  readonly session_id: string;
  readonly deleted: true;
}
