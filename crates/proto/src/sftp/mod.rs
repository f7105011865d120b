//! SFTP version 3 (draft-ietf-secsh-filexfer-02). Stand-in.
